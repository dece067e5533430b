// Single records that telemd keeps, as it tells of them through the control socket: those that
// wait and those that were rejected.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ctl/control_client.h"

namespace telem {

// All lines of the answer to `command` ("spool-list", "rejected-list"), oldest first.
Result<std::vector<ControlClient::Line>> ListRecords(ControlClient& client, const char* command);

// Which of the records a person means by `wanted`: an id or a name in full, or the beginning or the
// end of one where that is unique. (Ids begin with their time: those of one day look alike in
// front.)
Result<ControlClient::Line> ChooseRecord(const std::vector<ControlClient::Line>& records,
                                         std::string_view wanted);

struct KeptRecord {
  std::string name;   // of its file
  std::string bytes;  // as they stand there
};
// The answer to `command` ("spool-show", "rejected-show") for the record `name`.
Result<KeptRecord> FetchRecord(ControlClient& client, const char* command, const std::string& name);

// Prints a record's file: as it is into a pipe or file, made fit for a terminal on one.
void PrintRecord(std::string_view bytes, Output& output);

// The member, made fit for a terminal; "-" where there is none.
std::string FieldOf(const ControlFields& record, const std::string& name);

// "1 record", "2 records".
std::string CountText(size_t count);

// Asks telemd to do `command` with the record `name`; `reason` goes to the journal.
Status ActOn(ControlClient& client, const char* command, const std::string& name,
             const char* reason = nullptr);

// Does `command` with one record (`wanted`), or with all where nothing is given, and says how many
// were `done` ("dropped"). Returns the exit code.
int ActOnChosen(const std::string& control_path, const char* list, const char* command,
                const std::string& wanted, const char* done);

// Complains: in the words of 1.x where a verb is root's.
int ComplainOfRefusal(const Error& error, Output& output);

}  // namespace telem
