/**
 * The RabbitMQs to compare with, from HAREMQ_ORACLE: one address or several with commas in between
 * (amqp://guest:guest@host:port,amqp://...). Every comparison runs once for each of them, and is
 * named by the version that the broker reports in its connection.start.
 */

import { addressOf, protocolHeader, RawConnection } from "@haremq/testkit";
import { fieldText } from "@haremq/wire";

export interface Oracle {
  readonly url: string;
  /** "3.10.8" */
  readonly version: string;
  /** The first number of the version: what is excused depends on it. */
  readonly major: number;
}

/** Which of these exchange types the broker has; those of plugins it need not have. */
export async function exchangeTypesOf(
  oracle: Oracle,
  wanted: Iterable<string>,
): Promise<ReadonlySet<string>> {
  const known = new Set<string>();
  for (const type of wanted) {
    const connection = await RawConnection.open(addressOf(oracle.url));
    try {
      await connection.openChannel(1);
      const exchange = `probe.${process.pid}.${type}`;
      const answered = connection.frames.length;
      connection.send(1, "exchange.declare", { exchange, type });
      connection.send(1, "exchange.delete", { exchange });
      // An unknown type costs a connection with RabbitMQ 3, a channel with RabbitMQ 4.
      const { method } = await connection.waitFor(() => true, answered);
      if (method?.name !== "exchange.declare-ok") continue;
      known.add(type);
      await connection.waitForMethod("exchange.delete-ok");
    } finally {
      connection.destroy();
    }
  }
  return known;
}

/** The reason to skip, or false. */
export const skipWithoutOracle: string | false =
  addressesIn(process.env.HAREMQ_ORACLE).length === 0
    ? "HAREMQ_ORACLE names no RabbitMQ to compare with (amqp://guest:guest@127.0.0.1:5672)"
    : false;

/** All oracles of the environment, each asked for its version; one that is not there fails. */
export function findOracles(): Promise<Oracle[]> {
  return Promise.all(addressesIn(process.env.HAREMQ_ORACLE).map(askVersion));
}

export function addressesIn(list: string | undefined): string[] {
  return (list ?? "")
    .split(",")
    .map((address) => address.trim())
    .filter((address) => address !== "");
}

async function askVersion(url: string): Promise<Oracle> {
  const connection = await RawConnection.connect(addressOf(url));
  try {
    connection.sendBytes(protocolHeader);
    const { serverProperties } = await connection.waitForMethod("connection.start");
    const value = serverProperties.get("version");
    const version = (value && fieldText(value)) ?? "";
    const major = Number.parseInt(version, 10);
    if (Number.isNaN(major)) throw new Error(`${url} does not tell its version`);
    return { url, version, major };
  } finally {
    connection.destroy();
  }
}
