/**
 * `haremq store inspect`: prints what is in a data directory at rest and what is wrong with it, for
 * people or as JSON. Called by main.ts; the looking is the store's.
 */

import { DataDirectoryError, inspectStore, type StoreReport } from "@haremq/store";

export interface InspectionCommand {
  readonly directory: string;
  readonly isJson: boolean;
}

interface Printer {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

/** Returns the exit code: 0 sound, 1 damaged, 2 if it could not look. */
export async function printInspection(
  { directory, isJson }: InspectionCommand,
  { stdout, stderr }: Printer,
): Promise<number> {
  let report: StoreReport;
  try {
    report = await inspectStore(directory);
  } catch (error) {
    stderr.write(`haremq: ${(error as Error).message}\n`);
    return error instanceof DataDirectoryError && error.problem === "damaged" ? 1 : 2;
  }
  stdout.write(isJson ? `${JSON.stringify(jsonOf(report), null, 2)}\n` : textOf(report));
  return report.damage.length === 0 ? 0 : 1;
}

/** The report with the maps as objects; its form is documented and only ever grows. */
export function jsonOf({ metadata, log, streams, ...report }: StoreReport): object {
  const { messages: _countedByQueue, damage: _reportedAbove, ...rest } = log;
  return {
    ...report,
    streams: streams.map(({ lastPlace: _, cut: __, damage: ___, ...stream }) => stream),
    isSound: report.damage.length === 0,
    metadata: metadata && { ...metadata, entries: Object.fromEntries(metadata.entries) },
    log: rest,
  };
}

export function textOf(report: StoreReport): string {
  const { log, metadata, queues, streams, damage, spaceAmplification } = report;
  const lost = streams.reduce((sum, { lostMessages }) => sum + lostMessages, log.lostRecords);
  const lines = [
    `data directory   ${report.path}`,
    `format           ${report.format}`,
    `node id          ${report.nodeId}`,
    `metadata         ${metadata === undefined ? "none that can be read" : describe(metadata)}`,
    "",
    ...table(
      ["queue", "vhost", "name", "ready", "seen"],
      queues.map(({ number, vhost, name, ready, delivered }) => {
        return [number, quoted(vhost), quoted(name), ready, delivered];
      }),
    ),
    "",
    ...(streams.length === 0 ? [] : [...streamTable(streams), ""]),
    ...table(
      [
        "segment",
        "generation",
        "records",
        "live",
        "live bytes",
        "garbage bytes",
        "sidecar",
        "form",
      ],
      log.segments.map((segment) => [
        segment.number,
        segment.generation,
        segment.records,
        segment.liveRecords,
        segment.liveBytes,
        segment.garbageBytes,
        segment.sidecarBytes,
        `${segment.isCompact ? "packed" : "plain"}, ${segment.isIndexed ? "indexed" : "no index"}`,
      ]),
    ),
    "",
    `records          ${log.liveRecords} live`,
    `bytes            ${log.liveBytes} live, ${log.garbageBytes} garbage, ${log.diskBytes} on disk`,
    `amplification    ${spaceAmplification === undefined ? "-" : spaceAmplification.toFixed(2)}`,
    `quarantine       ${log.quarantined.length} files`,
    "",
    ...(damage.length === 0 ? ["sound"] : [`damaged: ${lost} messages are lost`]),
    ...damage.map((text) => `  ${text}`),
  ];
  return `${lines.join("\n")}\n`;
}

function streamTable(streams: StoreReport["streams"]): string[] {
  const rows = streams.map((stream) => {
    const { number, segments, bytes, firstOffset, endOffset, lostMessages } = stream;
    return [number, segments, bytes, firstOffset, endOffset, lostMessages];
  });
  return table(["stream", "segments", "bytes", "first offset", "end offset", "lost"], rows);
}

function describe({ file, entries }: NonNullable<StoreReport["metadata"]>): string {
  const counts = [...entries].map(([kind, count]) => `${kind} ${count}`).join(", ");
  return `${file.usedPages} pages in ${file.fileBytes} bytes: ${counts}`;
}

/** A name may hold anything, line breaks and escape sequences of terminals among it. */
function quoted(name: string | undefined): string {
  return name === undefined ? "?" : JSON.stringify(name).replace(/[\x7f-\x9f]/g, "?");
}

/** Columns as wide as they have to be, numbers to the right. */
function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const widths = head.map((title, column) => {
    return Math.max(title.length, ...rows.map((row) => String(row[column]).length));
  });
  const format = (row: readonly (string | number)[]): string => {
    const cells = row.map((cell, column) => {
      const width = widths[column] ?? 0;
      return typeof cell === "number" ? String(cell).padStart(width) : cell.padEnd(width);
    });
    return cells.join("  ").trimEnd();
  };
  return [format(head), ...rows.map(format)];
}
