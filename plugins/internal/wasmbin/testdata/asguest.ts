// A guest for the tests of wasmbin: a policy's work in AssemblyScript. Build:
// asc asguest.ts -O3 --converge --runtime incremental --use abort= -o asguest.wasm
const globs: string[] = ["*.evil.example", "spam*.example", "*.spam.?rg", "a*b*c*d.example", "*.onion", "test*.example.org"];

function glob(p: string, s: string): bool {
  let i = 0, j = 0, star = -1, mark = 0;
  while (j < s.length) {
    if (i < p.length && (p.charCodeAt(i) == 63 || (p.charCodeAt(i) == s.charCodeAt(j) && p.charCodeAt(i) != 42))) {
      i++; j++;
    } else if (i < p.length && p.charCodeAt(i) == 42) {
      star = i++; mark = j;
    } else if (star >= 0) {
      i = star + 1; j = ++mark;
    } else {
      return false;
    }
  }
  while (i < p.length && p.charCodeAt(i) == 42) i++;
  return i == p.length;
}

export function run(n: i32): i64 {
  let h: u64 = 14695981039346656037;
  const seen = new Map<string, i32>();
  for (let i = 0; i < n; i++) {
    const host = "h" + (i * 7919 % 101).toString() + ".example.org";
    seen.set(host, (seen.has(host) ? seen.get(host) : 0) + 1);
    for (let g = 0; g < globs.length; g++) h = (h ^ u64(glob(globs[g], host))) * 1099511628211;
    for (let j = 0; j < host.length; j++) h = (h ^ u64(host.charCodeAt(j))) * 1099511628211;
    const parts = host.split(".");
    parts.sort();
    h ^= u64(parts.join("/").length);
  }
  return i64(h ^ u64(seen.size));
}

export function fail(n: i32): i64 {
  const list = new Array<i64>(1);
  return list[n + 1];
}
