/**
 * How the tests open @cloudamqp/amqp-client connections and sessions: they close with the scenario.
 */
import { AMQPClient, AMQPSession } from "@cloudamqp/amqp-client";
import { within } from "./deadline.ts";
import type { TestBed } from "./test-bed.ts";

export async function openClient(bed: TestBed, url = bed.url): Promise<AMQPClient> {
  const client = new AMQPClient(url);
  const connected = client.connect();
  client.socket?.setNoDelay(true);
  await within(connected, "amqp-client to connect");
  bed.defer(async () => {
    if (!client.closed) await client.close();
  });
  return client;
}

export async function openSession(
  bed: TestBed,
  url = bed.url,
  options: Parameters<typeof AMQPSession.connect>[1] = {},
): Promise<AMQPSession> {
  const session = await within(AMQPSession.connect(url, options), "the session to connect");
  bed.defer(() => session.stop());
  return session;
}
