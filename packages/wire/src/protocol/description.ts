// The types of the protocol's declarative description, and the words it is written with. Read by
// the generator and by the tests, never at run time.

export type FieldType =
  | "bit"
  | "octet"
  | "short"
  | "long"
  | "deliveryTag"
  | "shortstr"
  | "longstr"
  | "table"
  | "timestamp";

export interface FieldDescription {
  name: string;
  type: FieldType;
  /** Written as zero, skipped when read, and absent from the method's interface. */
  reserved: boolean;
}

export interface MethodDescription {
  id: number;
  name: string;
  /** In wire order; neighbouring bits share an octet, lowest bit first. */
  fields: readonly FieldDescription[];
  /** A header frame and body frames follow. */
  content: boolean;
}

export interface ClassDescription {
  id: number;
  name: string;
  methods: readonly MethodDescription[];
}

export interface ReplyDescription {
  code: number;
  name: string;
  /** Soft errors close the channel, hard errors the connection. */
  severity: "success" | "soft" | "hard";
}

/**
 * Field names and types in wire order; a name that begins with "reserved" marks a reserved field.
 */
export type FieldList = Readonly<Record<string, FieldType>>;

export function amqpClass(
  id: number,
  name: string,
  methods: readonly MethodDescription[],
): ClassDescription {
  return { id, name, methods };
}

export function method(id: number, name: string, fields: FieldList = {}): MethodDescription {
  return { id, name, fields: describeFields(fields), content: false };
}

export function contentMethod(id: number, name: string, fields: FieldList): MethodDescription {
  return { id, name, fields: describeFields(fields), content: true };
}

export function describeFields(fields: FieldList): FieldDescription[] {
  return Object.entries(fields).map(([name, type]) => ({
    name,
    type,
    reserved: name.startsWith("reserved"),
  }));
}
