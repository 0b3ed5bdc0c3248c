package web

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"

	"github.com/knockgate/knockgate/host/internal/admin"
)

type policiesData struct {
	Status *admin.Status
	Policy []policyData
	Staged []admin.Module
	// New is the digest of the module that was just uploaded.
	New       string
	MaxModule int64
}

type policyData struct {
	admin.PolicyState
	Chain        string // revision
	Other        string // the mode that it is not in
	Faulted      int64
	FuelBars     bars
	TimeBars     bars
	SettingsText string
	Staged       []admin.Module
}

// chain returns how the server stands, and the modules that wait to be used.
func (s *site) chain(v *visit) (*admin.Status, []admin.Module, error) {
	status, err := s.Server.Status(v.ctx())
	if err != nil {
		return nil, nil, err
	}
	staged, err := s.Policies.Staged(v.ctx())
	return status, staged, err
}

func (s *site) policies(v *visit) error {
	status, staged, err := s.chain(v)
	if err != nil {
		return err
	}
	data := policiesData{Status: status, Staged: staged, New: v.r.URL.Query().Get("new"), MaxModule: s.MaxModule}
	for _, p := range status.Policies {
		d := policyData{
			PolicyState: p, Chain: status.Revision, Other: "monitor", FuelBars: newBars(p.Fuel, ticks), TimeBars: newBars(p.Micros, microseconds),
			SettingsText: shownJSON(p.Settings), Staged: staged,
		}
		if p.Mode == "monitor" {
			d.Other = "enforce"
		}
		for _, n := range p.Faults {
			d.Faulted += n
		}
		data.Policy = append(data.Policy, d)
	}
	s.pages.write(v, http.StatusOK, "policies", page{Title: "Policies", Section: "/policies", Data: data})
	return nil
}

// maxSignature is more than a .minisig file has.
const maxSignature = 4 << 10

// upload keeps a module. What the browser calls the file is never looked at: the
// module is known by its digest.
func (s *site) upload(v *visit) error {
	most := s.MaxModule + 64<<10 // what stands around the module
	if v.r.ContentLength > most {
		v.w.Header().Set("Connection", "close") // the rest is not read
		return fmt.Errorf("%w: a module has at most %s", errLarge, size(s.MaxModule))
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, most)
	reader, err := v.r.MultipartReader()
	if err != nil {
		return fmt.Errorf("%w: %v", errForm, err)
	}
	// The form's token comes first: nothing is kept for who does not have it.
	token, err := s.nextPart(reader, "form", maxToken)
	if err != nil {
		return err
	}
	if !v.session.formIs(string(token)) {
		v.w.Header().Set("Connection", "close")
		return fmt.Errorf("%w: go back, load the page anew and send it again", errForm)
	}
	module, err := s.nextPart(reader, "module", s.MaxModule)
	if err != nil {
		return err
	}
	signature, err := s.nextPart(reader, "signature", maxSignature)
	if err != nil {
		return err
	}
	if len(signature) == 0 {
		signature = nil
	}
	staged, err := s.Policies.Stage(v.ctx(), module, signature)
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.r, "/policies?new="+staged.Digest+"#staged", http.StatusSeeOther)
	return nil
}

// nextPart returns the next part of a form, which must have that name. At the end of
// the form it is empty.
func (s *site) nextPart(reader *multipart.Reader, name string, most int64) ([]byte, error) {
	part, err := reader.NextPart()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err == nil && part.FormName() != name {
		return nil, fmt.Errorf("%w: a part is named %q where %q must stand", errForm, part.FormName(), name)
	}
	var body []byte
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(part, most+1))
	}
	tooLarge := (*http.MaxBytesError)(nil)
	switch {
	case errors.As(err, &tooLarge) || int64(len(body)) > most:
		return nil, fmt.Errorf("%w: %s has at most %s", errLarge, name, size(most))
	case err != nil:
		return nil, fmt.Errorf("%w: %v", errForm, err)
	}
	return body, nil
}

func (s *site) reload(v *visit) error {
	text, err := s.Server.Reload(v.ctx())
	if err != nil {
		return err
	}
	return s.showChanged(v, "Loaded anew", text)
}
