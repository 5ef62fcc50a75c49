/** Goal: the fanout exchange keeps the contract. */

import { FieldTable } from "@haremq/wire";
import { exchangeContract } from "./exchange.contract.ts";
import { fanoutType } from "./fanout.ts";

exchangeContract({
  type: fanoutType,
  binding: { routingKey: "ignored", arguments: new FieldTable() },
  matching: { routingKey: "anything" },
});
