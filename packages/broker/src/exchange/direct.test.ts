/** Goal: the direct exchange keeps the contract, taking wildcards literally. */

import { FieldTable } from "@haremq/wire";
import { directType } from "./direct.ts";
import { exchangeContract } from "./exchange.contract.ts";

exchangeContract({
  type: directType,
  binding: { routingKey: "a.*", arguments: new FieldTable() },
  matching: { routingKey: "a.*" },
  other: { routingKey: "a.b" },
});
