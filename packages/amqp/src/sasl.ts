/**
 * Reads user and password out of the response that a client gives in connection.start-ok.
 *
 *     PLAIN:     | 0 | user | 0 | password |
 *     AMQPLAIN:  a field table without its length: LOGIN, PASSWORD
 */

import type { Credentials } from "@haremq/broker";
import { fieldText, MalformedError, WireReader, WireWriter } from "@haremq/wire";

/** Undefined for a response that does not have the mechanism's form. */
export function credentialsFrom(mechanism: string, response: Buffer): Credentials | undefined {
  return mechanism === "PLAIN" ? plain(response) : amqplain(response);
}

function plain(response: Buffer): Credentials | undefined {
  const second = response.indexOf(0, 1);
  if (response[0] !== 0 || second < 0 || response.indexOf(0, second + 1) >= 0) return undefined;
  return {
    user: response.toString("utf8", 1, second),
    password: response.toString("utf8", second + 1),
  };
}

function amqplain(response: Buffer): Credentials | undefined {
  const writer = new WireWriter(response.length + 4);
  writer.longString(response);
  try {
    const table = new WireReader(writer.take()).table();
    const user = table.get("LOGIN");
    const password = table.get("PASSWORD");
    if (user?.type !== "S" || password?.type !== "S") return undefined;
    return { user: fieldText(user) ?? "", password: fieldText(password) ?? "" };
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
