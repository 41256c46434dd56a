// SPDX-License-Identifier: Apache-2.0
// The page: takes a file, shows what the verifier says. Text only ever becomes text nodes.

import { wordlist } from "@scure/bip39/wordlists/english.js";
import { verifyBundle } from "./verify.js";

globalThis.verifyBundle = verifyBundle;

const STEPS = [
  "container", "canonical form", "hash links", "signatures digest", "contribution statements", "acceptance statements",
  "membership", "metrics and counts", "privacy parameters", "lineage", "merkle root and checkpoint", "cosignature quorum", "model files",
];

const wordsOf = (digest) =>
  Array.from({ length: 12 }, (_, i) => wordlist[Number((BigInt(`0x${digest}`) >> BigInt(256 - 11 * (i + 1))) & 2047n)]).join(" ");

function element(kind, options = {}, ...inner) {
  const made = Object.assign(document.createElement(kind), options);
  made.append(...inner);
  return made;
}
const code = (text) => element("code", {}, text);
const rows = (pairs, options) =>
  element("dl", options, ...pairs.flatMap(([what, ...found]) => [element("dt", {}, what), element("dd", {}, ...found)]));
// A sentence with commands between backticks.
const told = (sentence) => sentence.split("`").map((part, i) => (i % 2 ? code(part) : part));
const bullets = (sentences) => element("ul", {}, ...sentences.map((sentence) => element("li", {}, ...told(sentence))));

function showFault(name, { step, height, message }) {
  const where = height === null ? "in the bundle as a whole" : `in block ${height}`;
  return [
    element("div", { className: "verdict bad" },
      element("strong", {}, "Not verified"),
      element("p", {}, `${name}: the first fault is ${where}, at step ${step} (${STEPS[step]}).`),
      element("p", { className: "soft" }, message)),
  ];
}

function showReport(name, report) {
  const { members, rounds, roundsFailed, models } = report;
  const at = new Date(report.cosignedAt * 1000);
  return [
    element("div", { className: "verdict good" },
      element("strong", {}, "Verified"),
      element("p", {}, `${name}: no fault in ${report.blocks} blocks of ${report.federation}. The accountant’s step was not made.`)),
    element("h2", {}, "What this does not prove"),
    bullets(report.warnings),
    element("h2", {}, "The ledger"),
    rows([
      ["federation", report.federation],
      ["name in heads", code(report.origin)],
      ["blocks", String(report.blocks)],
      ["block 0", code(report.genesis)],
      ["newest block", code(report.lastBlock)],
      ["root", code(report.root)],
      ["cosigned by", `${report.cosignedBy.join(", ")}: ${report.cosignedBy.length} of ${report.cosigners}, a quorum is ${report.quorum}`],
      ["last cosigned", Number.isNaN(at.getTime()) ? "at no time of the calendar" : at.toISOString()],
      ["rounds", `${rounds.length} committed, ${roundsFailed.length} failed`],
      ["model in force", `${report.version}, number ${report.generations} of its lineage: `, code(report.model)],
      ["model files checked", String(models.length)],
    ]),
    element("h2", {}, "Fingerprints, to be compared by telephone"),
    rows([
      ["the orchestrator", wordsOf(report.orchestrator)],
      ...members.map(({ org, name: called, fingerprint }) => [`${org} (${called})`, wordsOf(fingerprint)]),
    ], { className: "members" }),
  ];
}

function start() {
  const [file, pin, drop, verdict] = ["file", "pin", "drop", "verdict"].map((id) => document.getElementById(id));
  let turn = 0;
  const show = async (chosen) => {
    if (!chosen) return;
    const mine = ++turn;
    const isStale = () => mine !== turn;
    verdict.setAttribute("aria-busy", "true");
    const line = element("p", {}, `Reading ${chosen.name} …`);
    verdict.replaceChildren(element("div", { className: "verdict" }, line));
    let drawn = 0;
    const onProgress = async (done, all) => {
      if (performance.now() - drawn < 100) return;
      line.textContent = done < all ? `${chosen.name}: block ${done + 1} of ${all} …` : `${chosen.name}: heads …`;
      await new Promise((resolve) => setTimeout(resolve));
      drawn = performance.now();
    };
    let found;
    try {
      const data = new Uint8Array(await chosen.arrayBuffer());
      const result = await verifyBundle(data, { pinned: pin.value.trim() || null, onProgress });
      found = result.ok ? showReport(chosen.name, result.report) : showFault(chosen.name, result);
    } catch (error) {
      found = [element("div", { className: "verdict bad" }, element("strong", {}, "Not verified"),
        element("p", {}, `${chosen.name} could not be read: ${error.message}`))];
    }
    if (isStale()) return;
    verdict.replaceChildren(...found);
    verdict.setAttribute("aria-busy", "false");
  };
  const again = () => show(file.files[0]);
  file.addEventListener("change", again);
  pin.addEventListener("change", again);
  for (const kind of ["dragenter", "dragover"]) addEventListener(kind, (event) => (event.preventDefault(), drop.classList.add("over")));
  for (const kind of ["dragleave", "drop"]) addEventListener(kind, (event) => (event.preventDefault(), drop.classList.remove("over")));
  addEventListener("drop", (event) => {
    file.files = event.dataTransfer.files;
    again();
  });
}

if (typeof document !== "undefined") start();
