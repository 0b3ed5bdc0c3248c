/* A guest for the tests of wasmbin: a policy's work in C. Build:
 * clang-14 --target=wasm32 -O2 -nostdlib -ffreestanding -mbulk-memory -Wl,--no-entry
 *   -Wl,-z,stack-size=16384 -Wl,--stack-first -Wl,--strip-debug -o cguest.wasm cguest.c */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
#define EXPORT(name) __attribute__((export_name(#name)))

static const char *const globs[] = {
    "*.evil.example",    "spam*.example",       "*.spam.?rg",      "a*b*c*d.example",
    "matrix.*.example",  "*-bot-*.example.com", "???.example.net", "*.onion",
    "test*.example.org", "*xn--*",              "*.invalid",       "*.local",
};

static int glob(const char *p, const char *s) {
    const char *star = 0, *mark = 0;
    while (*s) {
        if (*p == '?' || (*p == *s && *p != '*')) {
            p++, s++;
        } else if (*p == '*') {
            star = p++, mark = s;
        } else if (star) {
            p = star + 1, s = ++mark;
        } else {
            return 0;
        }
    }
    while (*p == '*') p++;
    return !*p;
}

static u8 buffer[4096], other[4096];
static u64 seen;

static void name(char *out, u32 n) {
    static const char tail[] = ".peer-bot-.example.org";
    do {
        *out++ = 'a' + n % 26;
        n /= 26;
    } while (n);
    __builtin_memcpy(out, tail, sizeof tail);
}

static u64 tree(u32 n) { return n < 2 ? n : tree(n - 1) + tree(n - 2); }

EXPORT(run) u64 run(u32 n) {
    u64 h = 14695981039346656037ull;
    char host[64];
    for (u32 i = 0; i < n; i++) {
        name(host, i * 2654435761u);
        for (u32 g = 0; g < sizeof globs / sizeof *globs; g++)
            h = (h ^ (u64)glob(globs[g], host)) * 1099511628211ull;
        u32 len = 64 + i % 512;
        __builtin_memset(buffer, (int)i, len);
        __builtin_memcpy(other, buffer, len);
        for (u32 j = 0; j < len; j++) h = (h ^ other[j]) * 1099511628211ull;
    }
    seen += n;
    return h ^ tree(n % 12);
}

EXPORT(fail) u64 fail(u32 n) { return *(volatile u64 *)(0x7fffff00u + n); }
