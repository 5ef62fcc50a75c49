/** Makes connections: the door that every application comes in by. */

import type { ConnectOptions } from "./connect-options.ts";
import { resolveOptions } from "./connect-settings.ts";
import { Connection } from "./connection.ts";
import { ConnectError } from "./errors.ts";
import { Transport } from "./transport.ts";

/**
 * Connects and logs in. Rejects with an AmqpError where the broker says why it refuses (a wrong
 * password: 403, an unknown virtual host: 530), else with a ConnectError.
 *
 *     const connection = await connect("amqp://guest:guest@localhost");
 */
export async function connect(
  target: string | ConnectOptions,
  options: ConnectOptions = {},
): Promise<Connection> {
  const settings = resolveOptions(target, options);
  const { host, port, connectionTimeoutMs } = settings;
  const timeout = new AbortController();
  const timer = setTimeout(
    () => timeout.abort(new Error(`no connection within ${connectionTimeoutMs} ms`)),
    connectionTimeoutMs,
  );
  try {
    let transport: Transport;
    try {
      transport = await Transport.open(settings, timeout.signal);
    } catch (error) {
      throw new ConnectError(`cannot connect to ${host}:${port}: ${textOf(error)}`, error);
    }
    const connection = new Connection(transport, settings);
    timeout.signal.addEventListener("abort", () =>
      connection.failHandshake(
        new ConnectError(`${host}:${port} did not finish the handshake in time`),
      ),
    );
    await connection.handshake();
    return connection;
  } finally {
    clearTimeout(timer);
  }
}

/** Node reports a host whose every address refused as an error without a message. */
function textOf(error: unknown): string {
  const { message, code } = error as { message?: string; code?: string };
  return message || code || String(error);
}
