package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"aead.dev/minisign"
	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/plugins"
)

const (
	// signatureSuffix makes the name of a signature's file of the module's.
	signatureSuffix = ".minisig"
	// maxSignature is the largest file of a signature or a key, in bytes.
	maxSignature = 16 << 10
)

func newPolicyKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key FILE",
		Short: "Make a key to sign modules with",
		Long: `Makes a minisign key: the secret half goes into FILE, mode 0600, encrypted if there
is a --password-file, which takes seconds and 1 GiB of memory each time. The public half is printed; it
is what stands in signers of [policies]. A file that is there already is left alone.

Exit codes: 0 made, 1 anything else.`,
		Example: "  knockgate policy key modules.key",
		Args:    cobra.ExactArgs(1),
	}
	password := passwordFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		secret, err := readPassword(*password)
		if err != nil {
			return err
		}
		public, private, err := minisign.GenerateKey(nil)
		if err != nil {
			return err
		}
		text, err := private.MarshalText()
		if *password != "" {
			text, err = minisign.EncryptKey(secret, private) // takes seconds, and 1 GiB of memory
		}
		if err != nil {
			return err
		}
		f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s: is there already; name another file, or remove it if nothing is signed with it", args[0])
		}
		if err != nil {
			return err
		}
		if _, err = f.Write(text); err == nil {
			err = f.Sync()
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return errors.Join(err, os.Remove(args[0]))
		}
		fmt.Fprintln(cmd.OutOrStdout(), public)
		return nil
	}
	return cmd
}

func newPolicySign() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign MODULE.wasm --key FILE",
		Short: "Sign a policy's module",
		Long: `Writes MODULE.wasm.minisig: the module's signature under a key that "policy key", or
minisign itself, has made. Sign last, after "policy annotate": a change of the module
makes the signature worthless.

Exit codes: 0 signed, 1 anything else.`,
		Example: "  knockgate policy sign my_policy.wasm --key modules.key",
		Args:    cobra.ExactArgs(1),
	}
	key := cmd.Flags().String("key", "", "the `file` with the secret key")
	_ = cmd.MarkFlagRequired("key")
	password := passwordFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		module, err := readWhole(args[0], plugins.MaxModule)
		if err != nil {
			return err
		}
		secret, err := readPassword(*password)
		if err != nil {
			return err
		}
		text, err := readWhole(*key, maxSignature)
		if err != nil {
			return err
		}
		private, err := decodeKey(text, secret, *password != "")
		if err != nil {
			return fmt.Errorf("%s: %w", *key, err)
		}
		digest := plugins.Inspect(module).Digest
		signature := minisign.SignWithComments(private, module, digest, "a Knockgate policy")
		if err := replaceModule(args[0]+signatureSuffix, signature); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s signs %s, by %s\n", args[0]+signatureSuffix, digest, private.Public())
		return nil
	}
	return cmd
}

func newPolicyVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify MODULE.wasm [--signer KEY]",
		Short: "Say whether a module is signed by whom it should be",
		Long: `Checks MODULE.wasm.minisig against the public key that is given or, without one,
against signers of [policies], as a load does.

Exit codes: 0 it is signed by one of them, 1 anything else.`,
		Example: "  knockgate policy verify policies/my_policy.wasm",
		Args:    cobra.ExactArgs(1),
	}
	path := configFlag(cmd)
	signer := cmd.Flags().String("signer", "", "the public `key`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var signers []minisign.PublicKey
		if *signer != "" {
			signers = make([]minisign.PublicKey, 1)
			if err := signers[0].UnmarshalText([]byte(*signer)); err != nil {
				return fmt.Errorf("--signer: %q is no minisign public key; it is the line that \"knockgate policy key\" prints", *signer)
			}
		} else {
			cfg, err := config.Load(*path)
			if err != nil {
				return err
			}
			if signers = cfg.Policies.Signers; len(signers) == 0 {
				return fmt.Errorf("%s: policies.signers is empty; name the key with --signer", cfg.Path)
			}
		}
		module, err := readWhole(args[0], plugins.MaxModule)
		if err != nil {
			return err
		}
		if err := verifyModule(args[0], module, signers); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is signed: %s\n", args[0], plugins.Inspect(module).Digest)
		return nil
	}
	return cmd
}

// verifyModule returns nil if the signature beside a module is one of the module
// under one of the keys.
func verifyModule(path string, module []byte, signers []minisign.PublicKey) error {
	file := path + signatureSuffix
	signature, err := readWhole(file, maxSignature)
	if err != nil {
		return fmt.Errorf("%w; every module must be signed: knockgate policy sign %s --key FILE", err, path)
	}
	return checkSignature(file, path, module, signature, signers)
}

// checkSignature returns nil if a signature, which stands in what file names, is one of
// the module that path names under one of the keys.
func checkSignature(file, path string, module, signature []byte, signers []minisign.PublicKey) error {
	if signature == nil {
		return fmt.Errorf("%s is missing; every module must be signed, as \"knockgate policy sign\" does", file)
	}
	var parsed minisign.Signature
	if err := parsed.UnmarshalText(signature); err != nil {
		return fmt.Errorf("%s: no minisign signature: %w", file, err)
	}
	if len(signers) == 0 {
		return nil // nobody's is asked for
	}
	for _, key := range signers {
		if minisign.Verify(key, module, signature) {
			return nil
		}
	}
	for _, key := range signers {
		if key.ID() == parsed.KeyID {
			return fmt.Errorf("%s: is not of this module: %s has changed since it was signed", file, path)
		}
	}
	return fmt.Errorf("%s: by the key %X, which is not among the signers", file, parsed.KeyID)
}

// decodeKey returns the secret key of a file.
func decodeKey(text []byte, password string, given bool) (key minisign.PrivateKey, err error) {
	switch {
	case !minisign.IsEncrypted(text):
		if err = key.UnmarshalText(text); err != nil {
			err = fmt.Errorf("no minisign key: %w", err)
		}
	case !given:
		err = errors.New("encrypted; give its password with --password-file")
	default:
		if key, err = minisign.DecryptKey(password, text); err != nil {
			err = fmt.Errorf("a damaged key, or not its password in --password-file: %w", err)
		}
	}
	return key, err
}

func passwordFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("password-file", "", "the `file` with the key's password; default is no password")
}

// readPassword returns the first line of a file; "" if there is none.
func readPassword(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := readWhole(path, maxSignature)
	if err != nil {
		return "", fmt.Errorf("--password-file: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}
