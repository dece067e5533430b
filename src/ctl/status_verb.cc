#include "ctl/status_verb.h"

#include "base/clock.h"
#include "ctl/control_client.h"
#include "ctl/output.h"
#include "ctl/status_text.h"

namespace telem {
int RunStatus(const StatusOptions& options, const Settings& settings) {
  Output output(Output::Paging::kNever);
  const auto status = AskOnce(settings.control_path, FlatJsonWriter().Add("command", "status"));
  if (!status) return ComplainOfTelemd(status.error(), output);
  const auto now = std::chrono::floor<std::chrono::seconds>(SystemClock().Now());
  output.Write(options.json ? JsonLine(status->text)
                            : StatusText(status->fields,
                                         static_cast<uint64_t>(now.time_since_epoch().count())));
  return output.Finish();
}

}  // namespace telem
