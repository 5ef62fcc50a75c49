/** Goal: the topic exchange keeps the contract, with wildcards and without. */

import { FieldTable } from "@haremq/wire";
import { exchangeContract } from "./exchange.contract.ts";
import { topicType } from "./topic.ts";

exchangeContract({
  type: topicType,
  binding: { routingKey: "a.#.b", arguments: new FieldTable() },
  matching: { routingKey: "a.x.y.b" },
  other: { routingKey: "a.x.y" },
});

// Without a wildcard a binding concerns one routing key only, which routes are invalidated by.
exchangeContract({
  type: topicType,
  binding: { routingKey: "a.b", arguments: new FieldTable() },
  matching: { routingKey: "a.b" },
  other: { routingKey: "a" },
});
