// SPDX-License-Identifier: Apache-2.0
// Cosigned checkpoints: section 6 and steps 10 and 11 of docs/reference/ledger-format.md.
// Forms by C2SP signed-note, tlog-checkpoint, tlog-cosignature.

import { compare, fromBase64, located, require, toBase64, utf8 } from "./forms.js";
import { hash, hex, join, requireSignature } from "./signatures.js";

const SPACES = /\p{White_Space}/u;
const CONTROLS = /[\x00-\x09\x0b-\x1f]/;
const KINDS = {
  1: { algorithm: "ed25519", length: 64 },
  4: { algorithm: "ed25519", length: 72 },
  6: { algorithm: "ml-dsa-44", length: 2428 },
};

const LAST_SECOND = 253402300799n; // of the year 9999

export const quorumOf = (n) => Math.floor((n + Math.floor((n - 1) / 3)) / 2) + 1;

const eight = (number) => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(number));
  return bytes;
};
const timeOf = (line) => new DataView(line.signature.buffer).getBigUint64(0);

function parseNote(text) {
  require(utf8(text).length <= 1_000_000 && !CONTROLS.test(text), "not the text of a note");
  const at = text.lastIndexOf("\n\n");
  require(at >= 0 && text.endsWith("\n"), "a note without signature lines");
  const lines = text.slice(at + 2, -1).split("\n");
  require(at + 2 < text.length && lines.length <= 1_024, "a note with no lines or too many");
  return { body: text.slice(0, at + 1), lines: lines.map(parseLine) };
}

function parseLine(whole) {
  const [mark, name, encoded, ...more] = whole.split(" ");
  require(mark === "—" && name && encoded && !more.length, "not a signature line");
  require(!name.includes("+") && !SPACES.test(name), "not a key's name");
  const bytes = fromBase64(encoded);
  require(bytes.length > 4, "a line without a signature");
  return { whole, name, id: hex(bytes.subarray(0, 4)), signature: bytes.slice(4) };
}

const idOf = ({ name, kind, key }) => hex(hash(name, "\n", [kind], key).subarray(0, 4));

// How many different key IDs an identity has under a name, which should be three.
export const idsOf = (name, keys) =>
  new Set([...logKeys({ origin: name, keys }), ...memberKeys([name, { keys }])].map(idOf)).size;

function ringOf(keys) {
  return new Map(keys.map((key) => [`${key.name} ${idOf(key)}`, key]));
}

// The keys of a ring that signed; every line of such a key must verify.
function signers(note, ring, head) {
  const found = new Set();
  for (const line of new Map(note.lines.map((one) => [one.whole, one])).values()) {
    const key = ring.get(`${line.name} ${line.id}`);
    if (key === undefined) continue;
    const { algorithm, length } = KINDS[key.kind];
    require(line.signature.length === length, `a line of ${key.name} has another length`);
    if (key.kind !== 1) require(timeOf(line) < 1n << 63n, "a time of 2^63 or more");
    const message = messageOf(key, line, note.body, head);
    requireSignature(algorithm, key.key, message, key.kind === 1 ? line.signature : line.signature.subarray(8));
    found.add(key);
  }
  return found;
}

function messageOf(key, line, body, head) {
  if (key.kind === 1) return utf8(body);
  if (key.kind === 4) return utf8(`cosignature/v1\ntime ${timeOf(line)}\n${body}`);
  const [name, origin] = [utf8(key.name), utf8(head.origin)];
  const time = line.signature.subarray(0, 8);
  return join("subtree/v1\n", [0], [name.length], name, time, [origin.length], origin, eight(0), eight(head.size), head.root);
}

const logKeys = ({ origin, keys }) => [
  { name: origin, kind: 1, key: fromBase64(keys.tlog_ed25519) },
  { name: origin, kind: 6, key: fromBase64(keys.tlog_ml_dsa_44) },
];
const memberKeys = ([org, { keys }]) => [
  { name: org, kind: 4, key: fromBase64(keys.tlog_ed25519) },
  { name: org, kind: 6, key: fromBase64(keys.tlog_ml_dsa_44) },
];

// The (f + 1)-th latest of the members' times; a time that no calendar has is passed over.
function timeOfQuorum(note, by, n) {
  const latest = (times) => times.reduce((a, b) => (a > b ? a : b));
  const times = by
    .map((org) => note.lines.filter((line) => line.name === org).map(timeOf).filter((time) => time <= LAST_SECOND))
    .filter((found) => found.length)
    .map(latest)
    .sort((a, b) => (a > b ? -1 : 1));
  return times[Math.min(Math.floor((n - 1) / 3), times.length - 1)] ?? null;
}

// Who cosigned, and when as f liars cannot put it off (seconds), or a fault of step 10 or 11.
export function checkHead(text, { log, cosigners, size, root }) {
  const head = { origin: log.origin, size, root };
  const note = located(10, null, () => {
    const found = parseNote(text);
    require(found.body === `${log.origin}\n${size}\n${toBase64(root)}\n`, "not the log's name, size and root");
    require(signers(found, ringOf(logKeys(log)), head).size === 2, "not signed by both keys of the log");
    return found;
  });
  return located(11, null, () => {
    const witnesses = [...cosigners].sort(([a], [b]) => compare(a, b)).flatMap(memberKeys);
    const signed = signers(note, ringOf(witnesses), head);
    const by = [...cosigners.keys()].filter((org) => [...signed].filter((key) => key.name === org).length === 2).sort();
    require(by.length >= quorumOf(cosigners.size), `${by.length} of ${cosigners.size} cosigned`);
    const order = [...ringOf([...logKeys(log), ...witnesses]).keys()];
    const places = note.lines.map((line) => order.indexOf(`${line.name} ${line.id}`));
    require(!places.includes(-1), "a line by a stranger");
    require(places.every((place, at) => !at || places[at - 1] < place), "lines out of order, or two by one key");
    return { by, time: timeOfQuorum(note, by, cosigners.size) };
  });
}
