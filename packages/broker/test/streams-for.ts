/** What streams share, for tests without a broker: files in memory, and a clock that they turn. */

import { VirtualClock } from "@haremq/kernel";
import type { MessageStore } from "../src/message/message-store.ts";
import { Streams } from "../src/queue/stream/streams.ts";

export function streamsFor(messages: MessageStore, clock = new VirtualClock()): Streams {
  const nothing = (): void => undefined;
  return new Streams({ clock, messages, onDamage: nothing, onFault: nothing });
}
