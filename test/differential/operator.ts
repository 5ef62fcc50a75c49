/**
 * The other side of a broker: what is set up not by clients but by whoever operates it. Steps of
 * kind "operate" go here. RabbitMQ is spoken to through its management API, which listens 10000
 * ports above AMQP, HareMQ in this process through its core.
 */

import { request } from "node:http";
import { ParameterError } from "@haremq/broker";
import { addressOf, type TestBroker } from "@haremq/testkit";

export interface PolicyGiven {
  readonly pattern: string;
  readonly definition: Readonly<Record<string, unknown>>;
  readonly priority?: number;
  readonly applyTo?: string;
}

/** Whose policies. */
export type Audience = "user" | "operator";

export type Operation =
  | {
      readonly verb: "set policy";
      readonly audience: Audience;
      readonly vhost: string;
      readonly name: string;
      readonly policy: PolicyGiven;
    }
  | {
      readonly verb: "clear policy";
      readonly audience: Audience;
      readonly vhost: string;
      readonly name: string;
    }
  | { readonly verb: "make vhost"; readonly name: string; readonly defaultQueueType?: string }
  | { readonly verb: "make user"; readonly name: string; readonly vhost: string }
  | {
      readonly verb: "limit vhost" | "limit user";
      readonly name: string;
      readonly limit: string;
      readonly value: number;
    };

export interface Operator {
  /** Resolves to the reason of a refusal, or undefined. */
  operate(operation: Operation): Promise<string | undefined>;
  /** Takes back what was made. */
  undo(operations: readonly Operation[]): Promise<void>;
}

const password = "secret";
const everything = { configure: ".*", write: ".*", read: ".*" };

/** HareMQ in this process, or what HAREMQ_URL names. */
export function operatorOf({ url, running }: TestBroker): Operator {
  return running === undefined ? new HttpOperator(url) : new CoreOperator(running);
}

class CoreOperator implements Operator {
  readonly #running: NonNullable<TestBroker["running"]>;

  constructor(running: NonNullable<TestBroker["running"]>) {
    this.#running = running;
  }

  async operate(operation: Operation): Promise<string | undefined> {
    try {
      await this.#carryOut(operation);
      return undefined;
    } catch (error) {
      if (error instanceof ParameterError) return error.message;
      throw error;
    }
  }

  async #carryOut(operation: Operation): Promise<unknown> {
    const { broker, users } = this.#running;
    const vhost = (name: string) => broker.vhost(name)!;
    const policies = (audience: Audience, name: string) =>
      audience === "user" ? vhost(name).policies : vhost(name).operatorPolicies;
    switch (operation.verb) {
      case "set policy":
        return policies(operation.audience, operation.vhost).set(operation.name, operation.policy);
      case "clear policy":
        return policies(operation.audience, operation.vhost).clear(operation.name);
      case "make vhost": {
        const { name, defaultQueueType = "" } = operation;
        await broker.createVhost(name, { defaultQueueType });
        return users.setPermissions("guest", name, everything);
      }
      case "make user":
        await users.addUser(operation.name, password, []);
        return users.setPermissions(operation.name, operation.vhost, everything);
      case "limit vhost":
        return vhost(operation.name).limits.set(operation.limit, operation.value);
      case "limit user":
        return users.setLimit(operation.name, operation.limit, operation.value);
    }
  }

  async undo(operations: readonly Operation[]): Promise<void> {
    for (const operation of operations) {
      if (operation.verb !== "set policy") continue;
      await this.#carryOut({ ...operation, verb: "clear policy" });
    }
  }
}

/** Ports between AMQP and the management of a RabbitMQ. */
const managementOffset = 10_000;

export class HttpOperator implements Operator {
  readonly #host: string;
  readonly #port: number;

  constructor(url: string) {
    const { host, port } = addressOf(url);
    this.#host = host;
    this.#port = port + managementOffset;
  }

  async operate(operation: Operation): Promise<string | undefined> {
    switch (operation.verb) {
      case "set policy": {
        const { pattern, definition, priority = 0, applyTo = "all" } = operation.policy;
        const body = { pattern, definition, priority, "apply-to": applyTo };
        return this.#send("PUT", policyPath(operation), body);
      }
      case "clear policy":
        return this.#send("DELETE", policyPath(operation));
      case "make vhost": {
        const path = ["vhosts", operation.name];
        const { defaultQueueType } = operation;
        const body = defaultQueueType === undefined ? {} : { default_queue_type: defaultQueueType };
        const refusal = await this.#send("PUT", path, body);
        return refusal ?? this.#permit("guest", operation.name);
      }
      case "make user": {
        const path = ["users", operation.name];
        const refusal = await this.#send("PUT", path, { password, tags: "" });
        return refusal ?? this.#permit(operation.name, operation.vhost);
      }
      case "limit vhost":
      case "limit user": {
        const kind = operation.verb === "limit vhost" ? "vhost-limits" : "user-limits";
        const { name, limit, value } = operation;
        return this.#send("PUT", [kind, name, limit], { value });
      }
    }
  }

  async undo(operations: readonly Operation[]): Promise<void> {
    for (const operation of operations) {
      if (operation.verb === "set policy") await this.#send("DELETE", policyPath(operation));
      if (operation.verb === "make vhost") await this.#send("DELETE", ["vhosts", operation.name]);
      if (operation.verb === "make user") await this.#send("DELETE", ["users", operation.name]);
    }
  }

  #permit(user: string, vhost: string): Promise<string | undefined> {
    return this.#send("PUT", ["permissions", vhost, user], everything);
  }

  /** The reason of a refusal, or undefined. */
  #send(method: string, path: readonly string[], body?: object): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const sent = request({
        host: this.#host,
        port: this.#port,
        method,
        path: `/api/${path.map(encodeURIComponent).join("/")}`,
        auth: "guest:guest",
        headers: { "content-type": "application/json" },
      });
      sent.on("error", reject);
      sent.on("response", (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const status = response.statusCode ?? 0;
          const text = Buffer.concat(chunks).toString();
          // What is to be removed may have gone before.
          if (status < 300 || status === 404) resolve(undefined);
          else if (status === 400) resolve(reasonIn(text));
          else reject(new Error(`${method} ${path.join("/")} answered ${status}: ${text}`));
        });
      });
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}

function policyPath({
  audience,
  vhost,
  name,
}: Extract<Operation, { readonly audience: Audience }>): string[] {
  return [audience === "user" ? "policies" : "operator-policies", vhost, name];
}

/** Management writes texts for a web page. */
function reasonIn(body: string): string {
  const { reason } = JSON.parse(body) as { reason: string };
  return reason
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&");
}
