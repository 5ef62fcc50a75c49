// The scenarios that are more than one run of the load generator. Each measures one target once and
// returns a row, { failed: reason } in the worst case.

import { execFile } from "node:child_process";

const settleMs = 5000;
const backlogPrefix = "backlog";
const recoveryLimitMs = 120_000;
const pollMs = 20;

export const procedures = { idle, start, backlog };

/**
 * Memory that earlier load has left behind would hide what a connection costs: who can be
 * restarted is.
 */
async function idle({ name, scenario, target, generator }) {
  if (target.missing(["start"]).length === 0 && target.pid !== 0) await target.restart();
  return generator.load(target, name, scenario.load);
}

async function start({ name, target }) {
  if (target.pid !== 0) await target.stop("SIGTERM");
  const startS = await target.start();
  await pause(settleMs);
  return { label: name, start_s: round(startS), rss_idle_mb: target.residentMb };
}

/** Published, there after a restart, there after a kill -9 (if it is to be), drained. */
async function backlog({ name, scenario, target, generator }) {
  const { messages, load, survives } = scenario;
  const options = `${load} --prefix ${backlogPrefix}`;
  const before = target.residentMb;
  const publishing = `${options} --confirm 1000 --cons 0 --count ${messages} --keep`;
  const sent = await generator.load(target, name, publishing);
  if (sent.failed !== undefined) return sent;
  await pause(settleMs);
  const row = {
    label: name,
    publish_s: sent.pub_s,
    rss_before_mb: before,
    rss_publish_mb: mbOf(sent.rss_max_mb),
    rss_rest_mb: target.residentMb,
    disk_mb: await diskMb(target.dataFolder),
  };
  if (survives) {
    Object.assign(row, await reopen(target, generator, messages, "SIGTERM", "restart"));
    Object.assign(row, await reopen(target, generator, messages, "SIGKILL", "crash_restart"));
  }
  row.depth_after = await generator.depth(target, backlogPrefix);
  if (row.depth_after === 0) return { ...row, failed: "nothing is left of the backlog" };
  const draining = `${options} --pubs 0 --cons 1 --ack 100 --prefetch 1000`;
  const drained = await generator.load(target, name, `${draining} --expect ${row.depth_after}`);
  if (drained.failed !== undefined) return { ...row, failed: drained.failed };
  row.drain_s = drained.con_s;
  row.disorder = drained.disorder;
  row.rss_drain_mb = mbOf(drained.rss_max_mb);
  const names = ["rss_publish_mb", "restart_rss_mb", "crash_restart_rss_mb", "rss_drain_mb"];
  row.rss_max_mb = Math.max(...names.map((each) => row[each] ?? 0));
  return row;
}

/**
 * Seconds from the start of the process until the whole backlog is there again, and the memory that
 * this took at most.
 */
async function reopen(target, generator, messages, signal, prefix) {
  await target.stop(signal);
  const beganMs = performance.now();
  await target.start();
  while ((await generator.depth(target, backlogPrefix)) < messages) {
    if (performance.now() - beganMs > recoveryLimitMs) break; // depth_after tells
    await pause(pollMs);
  }
  const seconds = round((performance.now() - beganMs) / 1000);
  return { [`${prefix}_s`]: seconds, [`${prefix}_rss_mb`]: target.peakResidentMb };
}

/** The generator counts in MiB, and gives 0 for a process that it could not look at. */
function mbOf(mib) {
  return mib > 0 ? Math.round((mib * 1024 * 1024) / 1e6) : undefined;
}

function diskMb(folder) {
  return new Promise((resolve) => {
    execFile("du", ["-sm", folder], (_error, stdout) => {
      resolve(stdout === "" ? undefined : Number.parseInt(stdout, 10));
    });
  });
}

function round(seconds) {
  return Math.round(seconds * 100) / 100;
}

function pause(durationMs) {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}
