/**
 * Methods by their protocol names, with every argument that is not given at zero, empty or false.
 * RawConnection's callers write `methodOf("queue.declare", { queue: "q" })`.
 */

import {
  decodeMethod,
  encodeMethod,
  MalformedError,
  type Method,
  MethodId,
  methodName,
  WireReader,
  WireWriter,
} from "@haremq/wire";

export type MethodName = Method["name"];
export type MethodArguments<Name extends MethodName> = Extract<Method, { name: Name }>["args"];

const idByName = new Map<string, number>(Object.values(MethodId).map((id) => [methodName(id), id]));
const argumentBytesMax = 64;

export function methodOf<Name extends MethodName>(
  name: Name,
  args: Partial<MethodArguments<Name>> = {},
): Method {
  const id = idByName.get(name);
  if (id === undefined) throw new TypeError(`no such method: ${name}`);
  const method = zeroMethod(id);
  for (const argument of Object.keys(args)) {
    if (!(argument in method.args)) throw new TypeError(`${name} has no argument ${argument}`);
  }
  return { ...method, args: { ...method.args, ...args } } as Method;
}

/** The whole frame, ready to be sent, cut or spoiled. */
export function methodFrame(channel: number, method: Method): Buffer {
  const writer = new WireWriter(256);
  encodeMethod(writer, channel, method);
  return writer.take();
}

/** What the decoder makes of the method id and as many zeros as the method wants. */
function zeroMethod(id: number): Method {
  for (let bytes = 0; bytes <= argumentBytesMax; bytes++) {
    const zeros = Buffer.alloc(4 + bytes);
    zeros.writeUInt32BE(id);
    try {
      return decodeMethod(new WireReader(zeros));
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
    }
  }
  throw new TypeError(`${methodName(id)} is not made of zeros`);
}
