// What /api/records answers (docs/collector.md).

export interface ApiRecord {
  id: number;
  received: number; // seconds since the epoch
  payload_size: number;
  payload_encoding?: "utf-8" | "latin-1"; // not in lists
  payload?: string; // not in lists
  // The fifteen headers; null where the client's format version does not have one.
  [header: string]: string | number | null | undefined;
}

export interface ApiPage {
  records: ApiRecord[];
  next: number | null;
  newest: number; // id of the newest record there was, matching or not
}

export interface Filter {
  classification: string; // what it starts with, or all of it in quotes
  machine: string;
  severity: string;
}

export const HEADERS = [
  "record_format_version", "classification", "severity", "machine_id", "creation_timestamp",
  "arch", "host_type", "build", "kernel_version", "payload_format_version", "system_name",
  "board_name", "cpu_model", "bios_version", "event_id",
] as const;

// The answer was an answer, but no good one: the sentence says so to people.
export class ApiError extends Error {}

export const PAGE_RECORDS = 100;

const TIMEOUT_MS = 10_000;

async function get(query: URLSearchParams): Promise<ApiPage> {
  const abort = new AbortController();
  const timeout = window.setTimeout(() => abort.abort(), TIMEOUT_MS);
  try {
    const response = await fetch(`api/records?${query}`, { signal: abort.signal });
    if (!response.headers.get("Content-Type")?.startsWith("application/json")) {
      throw new ApiError(
        `Not the collector but a proxy before it answered ${response.status}. ` +
          (response.status < 500
            ? "Reload this page: it may want you to log in again."
            : "It seems not to reach the collector."),
      );
    }
    const answer = await response.json();
    if (!response.ok) throw new ApiError(`The collector says: ${answer.message}`);
    return answer;
  } finally {
    window.clearTimeout(timeout);
  }
}

// Newest first, without payloads.
export function listRecords(
  filter: Filter,
  range: { from?: number; before?: number },
): Promise<ApiPage> {
  const query = new URLSearchParams({ payload: "false", limit: String(PAGE_RECORDS) });
  const [, whole] = /^"(.+)"$/.exec(filter.classification) ?? [];
  if (filter.classification) query.set("classification", whole ?? `${filter.classification}*`);
  if (filter.machine) query.set("machine_id", filter.machine);
  if (filter.severity) query.set("severity", filter.severity);
  if (range.from !== undefined) query.set("from_id", String(range.from));
  if (range.before !== undefined) query.set("cursor", String(range.before));
  return get(query);
}

// The parameters that name exactly one record.
export function queryForOne(id: number): URLSearchParams {
  return new URLSearchParams({ from_id: String(id), cursor: String(id + 1) });
}

export async function fetchRecord(id: number): Promise<ApiRecord | undefined> {
  return (await get(queryForOne(id))).records[0];
}
