// One line about the machine, for the table: without it a figure says nothing.

import { availableParallelism, cpus, release, totalmem, type } from "node:os";

export function describeMachine() {
  const model = cpus()[0]?.model.replaceAll(/\s+/g, " ").replaceAll("|", "").trim();
  const memoryGib = Math.round(totalmem() / 2 ** 30);
  const processors = `${availableParallelism()} x ${model || process.arch}`;
  return `${processors}, ${memoryGib} GiB, ${type()} ${release()}, Node ${process.version}`;
}
