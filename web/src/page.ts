// The page: the latest records, live, and everything about one of them.
//
// Records are foreign text. They reach the document by textContent only.

import { ApiError, ApiPage, ApiRecord, Filter, HEADERS, PAGE_RECORDS } from "./api";
import { fetchRecord, listRecords, queryForOne } from "./api";
import { longTime, severityName, shortTime, size, visible } from "./format";

const POLL_MS = 2000;
const RETRY_MS = 5000;
const MAX_ROWS = 2000; // what "Older records" may pile up while the list also grows at its top

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const ui = {
  state: element("state"),
  pause: element<HTMLButtonElement>("pause"),
  filter: element<HTMLFormElement>("filter"),
  classification: element<HTMLInputElement>("classification"),
  machine: element<HTMLInputElement>("machine"),
  severity: element<HTMLSelectElement>("severity"),
  clear: element<HTMLButtonElement>("clear"),
  trouble: element("trouble"),
  columns: element("columns"),
  records: element<HTMLOListElement>("records"),
  older: element<HTMLButtonElement>("older"),
  full: element("full"),
  nothing: element("nothing"),
  howto: element("howto"),
  nomatch: element("nomatch"),
  details: element("details"),
  detailsTitle: element("details-title"),
  close: element<HTMLButtonElement>("close"),
  headers: element("headers"),
  payloadNote: element("payload-note"),
  payload: element("payload"),
  raw: element<HTMLAnchorElement>("raw"),
};

function make(tag: string, className: string, text: string): HTMLElement {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = visible(text);
  return made;
}

function text(value: ApiRecord[string]): string {
  return value === null || value === undefined ? "" : String(value);
}

// ---- the list ----

let newest = 0; // id of the newest record that is in the list or does not match
let next: number | null = null; // where older records go on
let isStale = true; // the list is not that of the filter, so nothing can be added to it
let trouble: "" | "away" | "trouble" = ""; // "away": it does not answer
let isPaused = false;
let timer: number | undefined;
let listNumber = 0; // counts the lists that were begun anew
let generation = 0; // of the load whose answer counts; a later one makes earlier ones void
let lastContact = Date.now();

function currentFilter(): Filter {
  return {
    classification: ui.classification.value.trim().replace(/\*$/, ""),
    machine: ui.machine.value.trim(),
    severity: ui.severity.value,
  };
}

function isFiltered(): boolean {
  return Object.values(currentFilter()).some((value) => value !== "");
}

function row(record: ApiRecord, isNew: boolean): HTMLLIElement {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = `#${record.id}`;
  link.className = isNew ? "row new" : "row";
  const severity = text(record.severity);
  const received = make("time", "received", shortTime(record.received));
  received.title = longTime(record.received);
  received.setAttribute("datetime", new Date(record.received * 1000).toISOString());
  const badge = make("span", "severity", `${severity} ${severityName(severity)}`);
  badge.dataset.severity = severity;
  const machine = make("span", "machine", text(record.machine_id));
  machine.title = text(record.machine_id);
  link.append(
    received,
    badge,
    make("span", "classification", text(record.classification)),
    machine,
    make("span", "system", `${text(record.system_name)} ${text(record.build)}`),
    make("span", "kernel", text(record.kernel_version)),
    make("span", "size", size(record.payload_size)),
  );
  item.append(link);
  return item;
}

function replaceAll(page: ApiPage): void {
  ++listNumber;
  ui.records.replaceChildren(...page.records.map((record) => row(record, false)));
  next = page.next;
  newest = page.newest;
}

function addNew(page: ApiPage): void {
  ui.records.prepend(...page.records.map((record) => row(record, true)));
  newest = page.newest;
  while (ui.records.childElementCount > MAX_ROWS) ui.records.lastElementChild?.remove();
  const last = ui.records.lastElementChild?.querySelector("a");
  if (ui.records.childElementCount === MAX_ROWS && last) next = Number(last.hash.slice(1));
}

function addOlder(page: ApiPage): void {
  ui.records.append(...page.records.map((record) => row(record, false)));
  next = page.next;
}

// In place of a button that is disabled, which loses the keyboard's focus.
let isLoadingOlder = false;

let today = new Date().toDateString();

// The list says of today's records the time alone, which a page that is open over night would say
// of yesterday's, too.
function noticeMidnight(): void {
  const day = new Date().toDateString();
  if (day === today) return;
  today = day;
  for (const time of ui.records.querySelectorAll("time")) {
    time.textContent = shortTime(Date.parse(time.dateTime) / 1000);
  }
}

function showState(): void {
  noticeMidnight();
  const isEmpty = ui.records.childElementCount === 0;
  ui.columns.hidden = isEmpty;
  const isFull = ui.records.childElementCount >= MAX_ROWS;
  ui.older.hidden = next === null || isFull;
  ui.full.hidden = next === null || !isFull;
  ui.older.textContent = isLoadingOlder ? "Searching older records…" : "Older records";
  ui.nothing.hidden = isStale || !isEmpty || isFiltered();
  ui.nomatch.hidden = isStale || !isEmpty || !isFiltered() || next !== null;
  ui.clear.hidden = !isFiltered();
  ui.trouble.hidden = !trouble;
  ui.records.setAttribute("aria-busy", String(isStale));
  const state = trouble || (isPaused ? "paused" : "live");
  ui.state.textContent = state;
  ui.state.dataset.state = state;
  ui.pause.textContent = isPaused ? "Resume" : "Pause";
  markSelected();
}

// What was answered in place of records; undefined where there was no answer.
function answerInWords(error: unknown): string | undefined {
  return error instanceof ApiError ? visible(error.message) : undefined;
}

function showTrouble(error: unknown): void {
  const words = answerInWords(error);
  trouble = words ? "trouble" : "away";
  ui.trouble.textContent =
    words ?? `The collector has not answered since ${shortTime(lastContact / 1000)}. ` +
    "Trying again every few seconds.";
}

// Asks for the filter's list, or for what is newer than the list, and sees to it that the next
// call comes.
async function load(): Promise<void> {
  window.clearTimeout(timer);
  const mine = ++generation;
  try {
    const filter = currentFilter();
    let page = await listRecords(filter, isStale ? {} : { from: newest + 1 });
    let isWhole = isStale;
    // More than a page may be new. A list that starts anew takes the reader's place away, and one
    // with a gap would be worse.
    while (!isWhole && page.next !== null && page.records.length < MAX_ROWS) {
      if (mine !== generation) return;
      const rest = await listRecords(filter, { from: newest + 1, before: page.next });
      page = { ...page, records: [...page.records, ...rest.records], next: rest.next };
    }
    if (!isWhole && page.next !== null) {
      page = await listRecords(filter, {});
      isWhole = true;
    }
    if (mine !== generation) return;
    if (isWhole) replaceAll(page);
    else addNew(page);
    isStale = false;
    trouble = "";
    lastContact = Date.now();
  } catch (error) {
    if (mine !== generation) return;
    showTrouble(error);
  }
  showState();
  schedule();
  if (!trouble && !isPaused) void loadOlder(PAGE_RECORDS);
}

function schedule(): void {
  window.clearTimeout(timer);
  if (isPaused || document.hidden) return;
  timer = window.setTimeout(load, trouble ? RETRY_MS : POLL_MS);
}

// Until the list has `wanted` rows: a page may come back short of that, or empty, where the collector
// had long to search.
async function loadOlder(wanted: number): Promise<void> {
  if (isLoadingOlder) return;
  isLoadingOlder = true;
  try {
    while (next !== null && ui.records.childElementCount < wanted && !isStale) {
      showState();
      const list = listNumber;
      const page = await listRecords(currentFilter(), { before: next });
      // It may have grown at its top meanwhile, but must not be another list.
      if (list === listNumber && !isStale) addOlder(page);
      if (document.hidden) break;
    }
  } catch (error) {
    showTrouble(error);
  }
  isLoadingOlder = false;
  showState();
}

// ---- one record ----

let shownId: number | undefined;

function headerValue(record: ApiRecord, header: string): Node[] {
  const value = text(record[header]);
  if (record[header] === null) return [make("span", "absent", "not in this format version")];
  switch (header) {
    case "severity":
      return [make("span", "", `${value} ${severityName(value)}`)];
    case "creation_timestamp":
      return [make("span", "", value), make("span", "note", longTime(Number(value)))];
    case "classification":
      return [make("span", "", value), filterButton("only these", ui.classification, `"${value}"`)];
    case "machine_id":
      return [make("span", "", value), filterButton("only this machine", ui.machine, value)];
    default:
      return [make("span", "", value)];
  }
}

function filterButton(label: string, input: HTMLInputElement, value: string): HTMLElement {
  const button = make("button", "inline", label) as HTMLButtonElement;
  button.type = "button";
  button.addEventListener("click", () => {
    // Where there is no room for both, the list is what was asked for.
    if (getComputedStyle(ui.records).visibility === "hidden") closeDetails();
    input.value = value;
    filterChanged();
  });
  return button;
}

function addHeader(name: string, ...value: Node[]): void {
  const description = document.createElement("dd");
  description.append(...value);
  ui.headers.append(make("dt", "", name), description);
}

function showRecord(record: ApiRecord): void {
  ui.detailsTitle.textContent = `Record ${record.id}`;
  ui.headers.replaceChildren();
  addHeader("received", make("span", "", longTime(record.received)));
  for (const header of HEADERS) addHeader(header, ...headerValue(record, header));
  const note = size(record.payload_size);
  ui.payloadNote.textContent =
    record.payload_encoding === "latin-1" ? `${note}, no UTF-8: shown as Latin-1` : note;
  ui.payload.textContent = visible(text(record.payload));
  ui.raw.href = `api/records?${queryForOne(record.id)}`;
  ui.raw.hidden = false;
}

function showMissing(id: number, why: string): void {
  ui.detailsTitle.textContent = `Record ${id}`;
  ui.headers.replaceChildren();
  ui.payloadNote.textContent = "";
  ui.payload.textContent = why;
  ui.raw.hidden = true;
}

function markSelected(): void {
  for (const link of ui.records.querySelectorAll("a")) {
    if (link.hash === `#${shownId}`) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

// The address says which record is open, so that it can be sent to somebody else.
async function openFromAddress(): Promise<void> {
  const id = /^#\d{1,15}$/.test(location.hash) ? Number(location.hash.slice(1)) : undefined;
  shownId = id;
  markSelected();
  document.body.classList.toggle("has-details", id !== undefined);
  ui.details.hidden = id === undefined;
  if (id === undefined) return;
  try {
    const record = await fetchRecord(id);
    if (shownId !== id) return;
    if (record) showRecord(record);
    else showMissing(id, "There is no such record.");
  } catch (error) {
    if (shownId !== id) return;
    showMissing(id, answerInWords(error) ?? "The collector does not answer.");
  }
  ui.details.scrollTop = 0;
  ui.details.focus({ preventScroll: true });
}

function closeDetails(): void {
  if (shownId === undefined) return;
  const link = ui.records.querySelector<HTMLAnchorElement>('a[aria-current="true"]');
  history.pushState(null, "", location.pathname + location.search);
  void openFromAddress();
  link?.focus();
}

// ---- what people do ----

function filterChanged(): void {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(currentFilter())) if (value) query.set(name, value);
  const search = String(query);
  history.replaceState(null, "", location.pathname + (search && `?${search}`) + location.hash);
  beginAnew();
}

function beginAnew(): void {
  searched = location.search;
  isStale = true;
  showState();
  void load();
}

let searched = location.search; // the part of the address with the filter that the list is for

function readFilterFromAddress(): void {
  const query = new URLSearchParams(location.search);
  ui.classification.value = query.get("classification") ?? "";
  ui.machine.value = query.get("machine") ?? "";
  ui.severity.value = query.get("severity") ?? "";
}

function moveFocus(step: 1 | -1): void {
  const links = [...ui.records.querySelectorAll<HTMLAnchorElement>("a")];
  const focused = links.indexOf(document.activeElement as HTMLAnchorElement);
  const current = focused >= 0 ? focused : links.findIndex((l) => l.hash === `#${shownId}`);
  const target = links[current < 0 ? 0 : Math.min(Math.max(current + step, 0), links.length - 1)];
  target?.focus();
}

function keyPressed(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target as HTMLElement;
  const isTyping = target.matches("input, select");
  if (event.key === "Escape") {
    if (isTyping) target.blur();
    else closeDetails();
  } else if (isTyping || target.matches("pre, aside")) {
    return; // arrows move the cursor, or scroll
  } else if (event.key === "/") {
    ui.classification.focus();
    event.preventDefault();
  } else if (event.key === "ArrowDown" || event.key === "j") {
    moveFocus(1);
    event.preventDefault();
  } else if (event.key === "ArrowUp" || event.key === "k") {
    moveFocus(-1);
    event.preventDefault();
  }
}

let typing: number | undefined;
ui.filter.addEventListener("input", () => {
  window.clearTimeout(typing);
  typing = window.setTimeout(filterChanged, 250);
});
ui.filter.addEventListener("submit", (event) => {
  event.preventDefault();
  filterChanged();
});
ui.clear.addEventListener("click", () => {
  ui.filter.reset();
  filterChanged();
});
ui.pause.addEventListener("click", () => {
  isPaused = !isPaused;
  showState();
  if (!isPaused) void load();
  else schedule();
});
ui.older.addEventListener("click", () => {
  void loadOlder(ui.records.childElementCount + PAGE_RECORDS);
});
ui.close.addEventListener("click", closeDetails);
document.addEventListener("keydown", keyPressed);
document.addEventListener("visibilitychange", () => {
  if (document.hidden || isPaused) schedule();
  else void load();
});
window.addEventListener("hashchange", () => void openFromAddress());
window.addEventListener("popstate", () => {
  if (location.search === searched) return; // only another record: what is being typed stays
  readFilterFromAddress();
  beginAnew();
  void openFromAddress(); // where more than the fragment differs, there is no hashchange
});

ui.full.textContent =
  `There are older records, but no more than ${MAX_ROWS} are listed here: a filter leads to them.`;
ui.howto.textContent =
  "sudo mkdir -p /etc/telemetrics; " +
  `printf '[settings]\\nserver = ${new URL("v2/collector", location.href)}\\n' | ` +
  "sudo tee -a /etc/telemetrics/telemetrics.conf\n" +
  "sudo telemd &      # where it runs already: sudo pkill -HUP telemd\n" +
  "hprobe";
readFilterFromAddress();
void load();
void openFromAddress();
