// SPDX-License-Identifier: Apache-2.0
// The verifier: tables A, B and F of section 8 of docs/reference/ledger-format.md.
// Not here: what epsilon the privacy claims amount to; `fedxdr verify` recomputes that.

import * as form from "./forms.js";
import { Fault, canonical, compare, decodeText, fromBase64, jcs, located, parseJson, require } from "./forms.js";
import { block, envelope } from "./kinds.js";
import { checkHead, quorumOf } from "./heads.js";
import { checkBlock } from "./rules.js";
import { begin, follow } from "./standing.js";
import { H, fingerprint, fromHex, hex, leafHash, root } from "./signatures.js";

const BODY_LIMIT = 65_535;
const DEPTH_LIMIT = 900;
const HALF_PAIR = /\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]/;
const EPSILON = "What epsilon the privacy claims amount to is recomputed by `fedxdr verify` only.";

const UNPINNED = "Nothing was pinned: the bundle itself says which ledger it is and who published it.";
const ONE_OF_MANY = "Only the orchestrator's key was pinned, under which it could have founded another ledger.";

const isHash = (pinned) => /^[0-9a-f]{64}$/.test(pinned);

// Pinned is the hash of block 0 (hexadecimal) or the first orchestrator's Ed25519 key (base64).
// Returns {ok, step, height, message, report}; throws for nothing that a bundle can hold.
// onProgress(done, all) may return a promise, for a page that wants to be drawn.
export async function verifyBundle(data, { pinned = null, onProgress = () => {} } = {}) {
  try {
    return { ok: true, step: null, height: null, message: null, report: await verify(data, pinned, onProgress) };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { ok: false, step: error.step, height: error.height ?? null, message: error.message, report: null };
  }
}

// Table A
export function read(data) {
  const ends = [];
  for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, at + 1)) ends.push(at);
  const line = (index, height) => {
    require(index < ends.length, `the bundle ends before its line ${index + 1}`, 0, height);
    return data.subarray(index ? ends[index - 1] + 1 : 0, ends[index]);
  };
  const header = located(0, null, () => canonical(data.subarray(0, ends[0] ?? data.length), form.object({
    blocks: form.integer(1), format: form.oneOf("fedxdr-ledger-bundle"), heads: form.integer(0), models: form.integer(0),
    origin: form.string, version: form.oneOf(2),
  })));
  const parts = [];
  for (let height = 0; height < header.blocks; height++) parts.push(splitLine(line(1 + height, height), height));
  const bodies = parts.map(readBody);
  const beside = parts.map((part, height) =>
    located(1, height, () => part.envelopes.map((raw) => canonical(raw, envelope))));
  const [begins, middle] = [1 + header.blocks, 1 + header.blocks + header.models];
  const end = middle + header.heads;
  return located(0, null, () => {
    const range = (from, to) => Array.from({ length: Math.min(to - from, ends.length - from + 1) }, (_, i) => from + i);
    const models = range(begins, middle).map((index) => readModel(line(index)));
    require(models.every((one, i) => i === 0 || models[i - 1] < one), "models ascend by their digests");
    const heads = range(middle, end).map((index) => canonical(line(index), form.object({ head: form.string, size: form.integer() })));
    require(heads.every(({ size }, i) => size >= 1 && size < header.blocks && (i === 0 || heads[i - 1].size < size)), "heads ascend by size");
    const last = canonical(line(end), form.object({ digest: form.string, head: form.string }));
    require(ends.length === end + 1 && ends[end] === data.length - 1, "bytes after the last line");
    require(last.digest === H(data.subarray(0, ends[end - 1] + 1)), "the digest is not that of the bytes before it");
    const all = [...heads, { size: header.blocks, head: last.head }];
    return {
      origin: header.origin, models, heads: new Map(all.map(({ size, head }) => [size, head])),
      blocks: bodies.map((body, i) => ({ block: body, envelopes: beside[i], hash: parts[i].hash })),
    };
  });
}

// The bytes of the block and of each envelope, as they stand in the line.
function splitLine(bytes, height) {
  const found = located(1, height, () => {
    // one code unit a byte, so that places in the text are places in the bytes
    const text = new TextDecoder("latin1").decode(bytes);
    parseJson(text);
    require(!HALF_PAIR.test(text.replace(/\\[^u]/g, " ")), "half a surrogate pair");
    const [begins, between, after] = ['{"block":', ',"envelopes":[', '],"hash":'];
    require(text.startsWith(begins), "not the line of a block");
    const values = [valueAt(text, begins.length)];
    let at = values[0].end;
    require(text.startsWith(between, at), "not the line of a block");
    at += between.length;
    for (let isFirst = true; text[at] !== "]"; isFirst = false) {
      values.push(valueAt(text, isFirst ? at : at + 1));
      at = values.at(-1).end;
    }
    require(text.startsWith(after, at) && text.endsWith("}"), "not the line of a block");
    const hash = canonical(bytes.subarray(at + after.length, -1), form.string);
    const [body, ...envelopes] = values.map(({ begin: from, end }) => bytes.subarray(from, end));
    return { body, envelopes, says: hash, hash: hex(leafHash(body)) };
  });
  require(found.hash === found.says, "the block's bytes have another hash", 2, height);
  return found;
}

// Where the JSON value that begins here ends; the whole is known to be JSON.
function valueAt(text, begins) {
  let depth = 0;
  let at = begins;
  for (; at < text.length; at++) {
    if (text[at] === '"') {
      for (at++; text[at] !== '"'; at++) if (text[at] === "\\") at++;
    } else if ("[{".includes(text[at])) {
      depth++;
      require(depth < DEPTH_LIMIT, "nested too deeply");
    } else if (depth === 0 && ",]}".includes(text[at])) break;
    else if ("]}".includes(text[at])) depth--;
  }
  const value = text.slice(begins, at);
  require(value !== "" && value.trim() === value, "white space around a value");
  return { begin: begins, end: at };
}

function readBody(part, height) {
  const found = located(1, height, () => {
    require(part.body.length <= BODY_LIMIT, `a block of ${part.body.length} bytes`);
    return canonical(part.body, block);
  });
  const digests = part.envelopes.map((raw) => H(raw));
  require(digests.every((one, i) => i === 0 || digests[i - 1] < one), "envelopes ascend by their digests", 3, height);
  require(H(jcs(digests)) === found.signatures_digest, "the envelopes are not those that the block names", 3, height);
  return found;
}

function readModel(bytes) {
  const text = decodeText(bytes);
  const value = parseJson(text);
  form.record(() => {}, () => {})(value);
  form.string(value.sha256);
  const file = fromBase64(value.data, true);
  require(H(file) === value.sha256, "a model's file has another digest", 12, null);
  fromBase64(value.data);
  require(text === `{"data":"${value.data}","sha256":"${value.sha256}"}`, "a model's line in another form");
  return value.sha256;
}

// Tables B and F
async function verify(data, pinned, onProgress) {
  const bundle = read(data);
  const count = bundle.blocks.length;
  const standing = begin();
  const heads = [];
  const genesis = bundle.blocks[0].block.entry;
  const parents = new Map();
  for (const signed of bundle.blocks) {
    await onProgress(signed.block.height, count);
    checkBlock(signed, standing);
    const { model_hash: model, provenance } = signed.block;
    if (!standing.models.has(model)) parents.set(model, provenance.parent_model);
    follow(standing, signed);
    const size = standing.height + 1;
    const isWanted = size === count || (standing.isTurn && size > 1);
    require(isWanted === bundle.heads.has(size), `the head over ${size} blocks is ${isWanted ? "missing" : "not asked"}`, 11, null);
    if (isWanted) heads.push({ log: standing.log, cosigners: standing.cosigners, size });
  }
  const own = isHash(pinned) ? bundle.blocks[0].hash : genesis.orchestrator.ed25519;
  require(pinned === null || own === pinned, "the ledger is not the pinned one", 10, null);
  require(bundle.origin === genesis.origin, `origin of the container is ${bundle.origin}`, 10, null);
  const leaves = bundle.blocks.map(({ hash }) => fromHex(hash));
  let [cosigned, generations] = [null, 0];
  for (let model = standing.model; model; model = parents.get(model)) generations++;
  for (const head of heads) {
    await onProgress(count, count);
    cosigned = checkHead(bundle.heads.get(head.size), { ...head, root: root(leaves.slice(0, head.size)) });
  }
  for (const model of bundle.models) require(standing.models.has(model), "a file that no block names", 12, null);
  require(bundle.models.includes(standing.model), "the file of the model in force is missing", 12, null);
  return reportOf({ bundle, genesis, standing, cosigned, generations, pinned, head: hex(root(leaves)) });
}

function reportOf({ bundle, genesis, standing, cosigned, generations, pinned, head }) {
  const rounds = (kind) => [...standing.rounds].filter(([, found]) => found === kind).map(([round]) => round);
  const members = [...standing.members].sort(([a], [b]) => compare(a, b));
  return {
    federation: genesis.federation, origin: genesis.origin, blocks: bundle.blocks.length, genesis: standing.genesisHash,
    lastBlock: standing.hash, root: head,
    members: members.map(([org, { name, keys }]) => ({ org, name, fingerprint: fingerprint(keys) })),
    orchestrator: fingerprint(standing.log.keys), cosignedBy: cosigned.by, cosigners: standing.cosigners.size,
    quorum: quorumOf(standing.cosigners.size), cosignedAt: Number(cosigned.time ?? Date.parse(bundle.blocks.at(-1).block.timestamp) / 1000), rounds: rounds("round-committed"),
    roundsFailed: rounds("round-failed"), model: standing.model, version: standing.version, models: bundle.models, generations,
    warnings: [
      EPSILON,
      ...(pinned === null ? [UNPINNED] : isHash(pinned) ? [] : [ONE_OF_MANY]),
      ...rejections(bundle.blocks),
    ],
  };
}

function rejections(blocks) {
  const count = ({ envelopes }) =>
    envelopes.filter((one) => one.payloadType === "application/vnd.in-toto+json")
      .filter((one) => parseJson(decodeText(fromBase64(one.payload))).predicate.fedxdr_acceptance.verdict === "rejected").length;
  return blocks.filter(count).map((signed) => `Block ${signed.block.height}: ${count(signed)} of ${signed.block.entry.cohort.length} rejected the result.`);
}
