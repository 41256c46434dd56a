// SPDX-License-Identifier: Apache-2.0
// Runs the script of the built verify.html over bundles from standard input, in one process.
// In: 4 bytes of length (big-endian) and a bundle, again and again. Out: a line of JSON each.

import { readFileSync } from "node:fs";
import { runInThisContext } from "node:vm";

const page = readFileSync(process.argv[2], "utf8");
const script = page.slice(page.indexOf("<script>") + "<script>".length, page.lastIndexOf("</script>"));
runInThisContext(script, { filename: "verify.html" });

let left = Buffer.alloc(0);
for await (const chunk of process.stdin) {
  left = Buffer.concat([left, chunk]);
  while (left.length >= 4 && left.length >= 4 + left.readUInt32BE()) {
    const end = 4 + left.readUInt32BE();
    const result = await globalThis.verifyBundle(new Uint8Array(left.subarray(4, end)));
    process.stdout.write(`${JSON.stringify(result)}\n`);
    left = left.subarray(end);
  }
}
