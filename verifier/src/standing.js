// SPDX-License-Identifier: Apache-2.0
// What is in force at a height: section 7 of docs/reference/ledger-format.md.

import { TYPES, ZEROS, kindOf, statement } from "./kinds.js";
import { allKeys } from "./signatures.js";

const TURNS = ["member-enrolled", "member-key-rotated", "member-suspended", "orchestrator-replaced"];

export function begin() {
  return {
    height: -1, hash: ZEROS, genesisHash: ZEROS, timestamp: null, members: new Map(), cosigners: new Map(), logs: [],
    log: null, changes: 0, isTurn: false, plan: null, planDigest: null, model: null, version: "v0",
    models: new Map(), withdrawn: new Set(), rounds: new Map(), lastRound: -1, invitations: new Set(), keysSeen: new Set(),
  };
}

// Take a block that passed; its members, keys and plan count from the next one on.
export function follow(standing, { block, envelopes, hash }) {
  const { entry } = block;
  const kind = kindOf(entry);
  const before = new Map(standing.members);
  const pin = (keys) => allKeys(keys).forEach((key) => standing.keysSeen.add(key));
  const enrol = (org, { name, keys, data_sources: sources }) => {
    standing.members.set(org, { name, keys, sources });
    pin(keys);
  };
  if (kind === "genesis") {
    standing.genesisHash = hash;
    for (const found of envelopes.filter((one) => one.payloadType === TYPES.enrolment)) {
      const stated = statement(found, "enrolment");
      enrol(stated.org, stated);
      standing.invitations.add(stated.invitation_digest);
    }
  }
  if (kind === "genesis" || kind === "orchestrator-replaced") {
    standing.log = { origin: entry.origin, keys: entry.orchestrator };
    standing.logs.push(entry.origin);
    pin(entry.orchestrator);
  }
  if (kind === "member-enrolled") {
    enrol(entry.org_id, entry);
    standing.invitations.add(entry.invitation_digest);
  }
  if (kind === "member-key-rotated") {
    standing.members.set(entry.org_id, { ...standing.members.get(entry.org_id), keys: entry.keys });
    pin(entry.keys);
  }
  if (kind === "member-suspended") standing.members.delete(entry.org_id);
  if (kind === "plan-adopted") Object.assign(standing, { plan: entry.plan, planDigest: entry.plan_digest });
  if (kind === "model-retired") standing.withdrawn.add(entry.model_hash);
  if (kind === "round-committed") standing.lastRound = block.aggregation_metrics.round;
  if (kind.startsWith("round-")) standing.rounds.set(entry.round_id, kind);
  if (!standing.models.has(block.model_hash)) standing.models.set(block.model_hash, block.provenance.model_version);
  Object.assign(standing, {
    height: block.height, hash, timestamp: block.timestamp, changes: entry.change ?? standing.changes,
    cosigners: before.size ? before : new Map(standing.members), isTurn: TURNS.includes(kind),
    model: block.model_hash, version: block.provenance.model_version,
  });
}
