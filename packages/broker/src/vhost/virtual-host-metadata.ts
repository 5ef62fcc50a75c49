/** What operators say of a virtual host. */
export interface VirtualHostMetadata {
  readonly description: string;
  readonly tags: readonly string[];
  /** The type of queues that are declared without one; "" for classic ones that do not say so. */
  readonly defaultQueueType: string;
}

export const noMetadata: VirtualHostMetadata = { description: "", tags: [], defaultQueueType: "" };
