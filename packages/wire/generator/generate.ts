// The protocol code generator: turns src/protocol/protocol.ts into the files of src/generated. Run
// by tools/generate.mjs, and by the test that compares the committed files with what it returns.

import { classes, properties, replies } from "../src/protocol/protocol.ts";
import { classFile } from "./class-file.ts";
import { propertiesFile } from "./properties-file.ts";
import { methodFile, methodIdFile, replyCodeFile } from "./shared-files.ts";

/** File names in src/generated, and their contents. */
export function generate(): Map<string, string> {
  const files = new Map<string, string>();
  files.set("method-id.ts", methodIdFile(classes));
  files.set("reply-code.ts", replyCodeFile(replies));
  files.set("method.ts", methodFile(classes));
  files.set("properties.ts", propertiesFile(properties));
  for (const owner of classes) files.set(`${owner.name}.ts`, classFile(owner));
  return files;
}
