// From values to what people read. All of it is text; nothing here makes markup.

// Some call the first hour of a day 24 when they are merely asked for no am and pm.
const hourCycle = "h23";
const timeOfDay = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle,
});
const dayAndTime = new Intl.DateTimeFormat(undefined, {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle,
});
const dayAndYear = new Intl.DateTimeFormat(undefined, {
  day: "numeric", month: "short", year: "numeric",
});
const everything = new Intl.DateTimeFormat(undefined, {
  weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit",
  minute: "2-digit", second: "2-digit", hourCycle, timeZoneName: "short",
});

// Short: today's by the time alone, another year's by the day alone. In the reader's zone.
export function shortTime(seconds: number): string {
  const time = new Date(seconds * 1000);
  const now = new Date();
  if (time.toDateString() === now.toDateString()) return timeOfDay.format(time);
  return (time.getFullYear() === now.getFullYear() ? dayAndTime : dayAndYear).format(time);
}

export function longTime(seconds: number): string {
  return everything.format(new Date(seconds * 1000));
}

const SEVERITIES: Record<string, string> = {
  "1": "low", "2": "medium", "3": "high", "4": "critical",
};

export function severityName(severity: string): string {
  return SEVERITIES[severity] ?? severity;
}

export function size(bytes: number): string {
  return bytes < 1024 ? `${bytes} B` : `${(bytes / 1024).toFixed(bytes < 10_240 ? 1 : 0)} KiB`;
}

// Characters that cannot be seen, or that turn the reading direction around and so make text look
// like another, become escapes. Line feeds and tabs stay.
export function visible(text: string): string {
  return text.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g,
    (character) => {
      const code = character.charCodeAt(0);
      return code < 0x100
        ? `\\x${code.toString(16).padStart(2, "0")}`
        : `\\u${code.toString(16).padStart(4, "0")}`;
    },
  );
}
