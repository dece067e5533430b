// Stands in for telem-deliver in tests of Delivery: gives each record the verdict that a script
// says.
//
// The script is the file that the setting `cainfo` names, read again for each record. Its lines are
//   WORD OUTCOME CODE RETRY-AFTER
// and the first whose WORD stands in the record's classification counts. OUTCOME is one of
// accepted, refused, later; or `mute`, which gives no verdict, or `die`.
#include <unistd.h>

#include <string>

#include "base/files.h"
#include "base/text.h"
#include "record/delivery_codec.h"
#include "record/headers.h"

namespace telem {
namespace {

constexpr size_t kMaxScript = 4096;

struct Line {
  std::string_view word, outcome, code, retry_after;
};

Line FindLine(std::string_view script, std::string_view classification) {
  while (!script.empty()) {
    std::string_view rest = TakeUntil(script, '\n');
    const Line line{TakeUntil(rest, ' '), TakeUntil(rest, ' '), TakeUntil(rest, ' '), rest};
    if (classification.contains(line.word)) return line;
  }
  return {"", "accepted", "201", "0"};
}

int Main() {
  std::string bytes;
  std::string script_file;
  char chunk[4096];
  while (true) {
    const ssize_t n = ::read(STDIN_FILENO, chunk, sizeof chunk);
    if (n <= 0) return 0;
    bytes.append(chunk, static_cast<size_t>(n));
    std::string_view rest = bytes;
    if (script_file.empty()) {
      if (!rest.contains('\n')) continue;
      script_file = ParseDeliverySettings(TakeUntil(rest, '\n'))->cainfo;
    }
    while (true) {
      const auto record = TakeDeliveryRecord(rest);
      if (!record || !*record) break;
      const auto script = ReadFile(script_file, kMaxScript);
      const auto headers = SplitHeaders((*record)->headers);
      const Line line = FindLine(*script, (*headers)[Header::kClassification]);
      if (line.outcome == "die") return 1;
      if (line.outcome == "mute") continue;
      std::string verdict = (*record)->id.ToHex();
      for (const std::string_view part : {line.outcome, line.code, line.retry_after}) {
        verdict += ' ';
        verdict += part;
      }
      verdict += line.outcome == "accepted" ? " \n" : " as the script says\n";
      if (!WriteAll(STDOUT_FILENO, verdict)) return 1;
    }
    bytes.erase(0, bytes.size() - rest.size());
  }
}

}  // namespace
}  // namespace telem

int main() { return telem::Main(); }
