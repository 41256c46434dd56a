// SPDX-License-Identifier: Apache-2.0
// Builds the one page: `npm ci && npm run build`. The same sources and lock file give the same bytes.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const OUT = process.argv[2] ?? here("../src/fedxdr/ledger/verify.html");

const result = await build({
  absWorkingDir: here("."),
  entryPoints: ["src/page.js"],
  bundle: true,
  format: "iife",
  charset: "utf8",
  legalComments: "none",
  target: "es2024",
  metafile: true,
  write: false,
});

// The licence of every package of which a file is inlined.
const packages = new Set();
for (const input of Object.keys(result.metafile.inputs)) {
  const found = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
  if (found) packages.add(found[1]);
}
const licences = [...packages].sort().map((name) => {
  const { version, license } = JSON.parse(readFileSync(here(`node_modules/${name}/package.json`), "utf8"));
  const text = readFileSync(here(`node_modules/${name}/LICENSE`), "utf8").trim();
  return `${name} ${version} (${license})\n\n${text}\n`;
});
const notice = `/*\nInlined below, unchanged but for the bundling:\n\n${licences.join("\n")}*/\n`;
const script = notice + result.outputFiles[0].text;
if (/<\/script|<!--/i.test(script)) throw new Error("the script would end before its end");

const page = readFileSync(here("page.html"), "utf8")
  .replace("/*STYLE*/", () => readFileSync(here("page.css"), "utf8"))
  .replace("/*SCRIPT*/", () => script);
writeFileSync(OUT, page);
console.log(`${OUT}: ${Buffer.byteLength(page)} bytes`);
