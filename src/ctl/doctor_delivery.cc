#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/files.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "ctl/doctor_check.h"
#include "ctl/kept_records.h"
#include "ctl/system_units.h"
#include "ctl/time_text.h"

namespace telem {
namespace {

constexpr int kConnectMs = 5000;  // as long as telem-deliver tries
constexpr size_t kMaxCertificates = size_t{4} * 1024 * 1024;

// Of which telem-deliver@.service makes the credential `clientkey`.
constexpr const char* kKeyOfSystemd = "/etc/credstore/telemetrics.clientkey";

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

struct Host {
  std::string name;
  std::string port;
  const char* setting;  // that names it
};

// Of a URL, with user, port and brackets or without.
Host HostOf(std::string_view url, std::string_view default_port, const char* setting) {
  Host host{.name = {}, .port = std::string(default_port), .setting = setting};
  if (const size_t start = url.find("://"); start != std::string_view::npos) {
    url.remove_prefix(start + 3);
  }
  url = url.substr(0, url.find_first_of("/?#"));
  if (const size_t at = url.rfind('@'); at != std::string_view::npos) url.remove_prefix(at + 1);
  if (url.starts_with('[')) {
    url.remove_prefix(1);
    host.name = TakeUntil(url, ']');
  } else {
    host.name = url.substr(0, url.find(':'));
    url.remove_prefix(host.name.size());
  }
  if (url.starts_with(':')) host.port = url.substr(1);
  return host;
}

// libcurl's defaults (CURLOPT_PROXY(3)).
std::string_view PortOf(std::string_view url, std::string_view other) {
  return url.starts_with("https:") ? std::string_view("443") : other;
}

Host HostOfProxy(std::string_view url) { return HostOf(url, PortOf(url, "1080"), "proxy"); }

// Whom telem-deliver connects to, unless its environment names a proxy.
Host FirstHost(const Settings& settings) {
  if (!settings.proxy.empty()) return HostOfProxy(settings.proxy);
  return HostOf(settings.server, PortOf(settings.server, "80"), "server");
}

// Proxies that telem-deliver's environment names for such a server: it has that of telemd, where
// telemd starts it, or of its unit. Only root, and who runs telemd, may look at the former.
std::vector<std::string> ProxiesOfEnvironment(const Patient& patient) {
  constexpr size_t kMaxEnvironment = size_t{4} * 1024 * 1024;
  std::string environment;
  if (patient.status) {
    const auto text =
        ReadFile("/proc/" + FieldOf(*patient.status, "pid") + "/environ", kMaxEnvironment);
    if (text) environment = *text;
    std::replace(environment.begin(), environment.end(), '\0', '\n');
  }
  if (HasSystemd()) environment += EnvironmentOfUnit("telem-deliver@doctor.service");
  // libcurl-env(3); HTTP_PROXY is not among them, since a web server makes it of a request.
  const bool is_https = patient.settings().server.starts_with("https:");
  std::vector<std::string_view> names = {"all_proxy", "ALL_PROXY"};
  if (is_https) names.insert(names.end(), {"https_proxy", "HTTPS_PROXY"});
  if (!is_https) names.emplace_back("http_proxy");
  std::vector<std::string> proxies;
  std::string_view rest = environment;
  while (!rest.empty()) {
    std::string_view value = TakeUntil(rest, '\n');
    const std::string_view name = TakeUntil(value, '=');
    if (std::find(names.begin(), names.end(), name) == names.end()) continue;
    // A file for EnvironmentFile= may have them.
    while (value.starts_with('"') || value.starts_with('\'')) value.remove_prefix(1);
    while (value.ends_with('"') || value.ends_with('\'')) value.remove_suffix(1);
    if (!value.empty()) proxies.emplace_back(value);
  }
  return proxies;
}

// 0, or the errno of why nobody is reached there.
int TryConnect(const addrinfo& address) {
  const UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno;
  if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd writable{fd.get(), POLLOUT, 0};
  if (::poll(&writable, 1, kConnectMs) <= 0) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

// What an HTTP status, or words of libcurl or OpenSSL in a trouble's text, mean for who can help.
struct Cause {
  const char* sign;
  const char* what;
  const char* cure;
};

constexpr std::array kByStatus = {
    Cause{"400", "the server takes no such records",
          "its words say what is wrong: tidheader, this machine's clock, or server_protocol?"},
    Cause{"401", "the server wants to know who sends",
          "tidheader (or otlp_headers) must carry the token that the server gave out"},
    Cause{"403", "the server does not let this machine in",
          "ask who runs it; tidheader (or otlp_headers) may lack the right token"},
    Cause{"404", "there is no collector at that address", "is the path in 'server' right?"},
    Cause{"405", "the server takes no records at that address",
          "are the path in 'server' and server_protocol right?"},
    Cause{"407", "the proxy wants to know who asks", "put user and password into 'proxy'"},
    Cause{"413", "records are larger than the server takes",
          "raise its limit (nginx: client_max_body_size 1m), then 'telemctl rejected retry --all'"},
    Cause{"415", "the server does not take this kind of content",
          "is server_protocol the one that it speaks?"},
    Cause{"429", "the server wants fewer records", "lower record_burst_limit, or ask who runs it"},
};

// In lower case; the first that fits counts.
constexpr std::array kByWords = {
    Cause{"could not resolve", "the server's name is not known",
          "is the name in 'server' right? does 'getent hosts NAME' find it? see /etc/resolv.conf"},
    Cause{"not yet valid", "the server's certificate is not valid yet",
          "is this machine's clock right?"},
    Cause{"has expired", "the server's certificate has expired",
          "is this machine's clock right? else who runs the server has to renew it"},
    Cause{"certificate subject name", "the server's certificate is for another name",
          "'server' must have a name that stands in the certificate"},
    Cause{"subject alternative name", "the server's certificate is for another name",
          "'server' must have a name that stands in the certificate"},
    Cause{"self-signed", "nobody this machine trusts vouches for the server's certificate",
          "put the certificate of its issuer into a file, and that file into 'cainfo'"},
    Cause{"issuer certificate", "nobody this machine trusts vouches for the server's certificate",
          "put the certificate of its issuer into a file, and that file into 'cainfo'"},
    Cause{"certificate", "there is something wrong about certificates",
          "see cainfo, clientcert and clientkey in telemetrics.conf(5)"},
    Cause{"ssl", "the server and this machine find no common TLS",
          "is it really https:// there? else http://"},
    Cause{"refused", "nobody listens at the server's address",
          "is the port in 'server' right? does the server run?"},
    Cause{"timed out", "the server does not answer in time",
          "is there a firewall, or a proxy to go through ('proxy')?"},
    Cause{"timeout", "the server does not answer in time",
          "is there a firewall, or a proxy to go through ('proxy')?"},
    Cause{"failed to connect", "the server is not reached", "is this machine on the network?"},
    Cause{"couldn't connect", "the server is not reached", "is this machine on the network?"},
    Cause{"telem-deliver", "the program that sends does not work",
          "is it installed? try it by hand, see telem-deliver(8)"},
};

Finding TryHost(const Host& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int unresolved = ::getaddrinfo(host.name.c_str(), host.port.c_str(), &hints, &list);
  if (unresolved != 0) {
    return Ill("the name '" + host.name + "' is not known: " + ::gai_strerror(unresolved),
               std::string("is the name in '") + host.setting +
                   "' right? see /etc/resolv.conf, 'getent hosts " + host.name + "'");
  }
  const std::unique_ptr<addrinfo, FreeAddresses> addresses(list);
  int error = 0;
  for (const addrinfo* each = list; each != nullptr; each = each->ai_next) {
    error = TryConnect(*each);
    if (error == 0) return Well(host.name + " port " + host.port + " answers");
  }
  Finding finding = Diagnose(std::strerror(error));
  finding.what = host.name + " port " + host.port + ": " + finding.what;
  return finding;
}

// Who reads the certificates.
struct Reader {
  std::string name;
  uid_t uid = 0;
  bool gets_key_from_systemd = false;
};

Reader ReaderOfCertificates(const Patient& patient) {
  // Where systemd listens there, telem-deliver is a user who owns nothing (telem-deliver@.service).
  const std::string& control = patient.settings().control_path;
  const std::string socket = control.substr(0, control.rfind('/')) + "/deliver";
  constexpr uid_t kNobody = 65534;
  if (::access(socket.c_str(), F_OK) == 0) return {"telem-deliver", kNobody, true};
  const uid_t telemd = UidOfTelemd(patient);
  return {NameOfUser(telemd), telemd, false};
}

// 0, or the errno with which it fails for `reader` to open the file. Only root can find that out.
int TryOpenAs(const Reader& reader, const std::string& path) {
  const pid_t child = ::fork();
  if (child < 0) return errno;
  if (child == 0) {
    std::array<char, 4096> buffer;
    passwd entry{};
    passwd* user = nullptr;
    ::getpwuid_r(reader.uid, &entry, buffer.data(), buffer.size(), &user);
    const gid_t group = user == nullptr ? reader.uid : user->pw_gid;
    const int grouped =
        user == nullptr ? ::setgroups(0, nullptr) : ::initgroups(user->pw_name, group);
    // Where root may not become somebody else it is no reason to complain.
    if (grouped != 0 || ::setgid(group) != 0 || ::setuid(reader.uid) != 0) ::_exit(0);
    ::_exit(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) < 0 ? errno : 0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

uint64_t NumberOf(const ControlFields& fields, const char* name) {
  return ParseUnsigned(FieldOf(fields, name)).value_or(0);
}

}  // namespace

Finding Diagnose(const std::string& trouble) {
  std::string lower = trouble;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  for (const Cause& cause : kByStatus) {
    if (lower.starts_with(cause.sign)) return Ill(cause.what + (": " + trouble), cause.cure);
  }
  if (lower.starts_with('5') && ParseUnsigned(lower.substr(0, 3))) {
    return Ill("the server is in trouble: " + trouble, "wait, or tell who runs it");
  }
  for (const Cause& cause : kByWords) {
    if (lower.contains(cause.sign)) return Ill(cause.what + (": " + trouble), cause.cure);
  }
  return Ill(trouble, "see telem-deliver(8) for how to try it by hand");
}

Finding CheckServer(const Patient& patient) {
  const Settings& settings = patient.settings();
  if (settings.server.empty()) {
    return Ill("no server is set: records stay on this machine",
               "set 'server' to the URL of a collector, then send telemd a SIGHUP");
  }
  if (!settings.record_server_delivery_enabled) {
    return Ill("record_server_delivery_enabled is false: records stay on this machine",
               "set it to true, then send telemd a SIGHUP");
  }
  if (patient.status && FieldOf(*patient.status, "server") != settings.server) {
    return Ill("telemd sends to " + FieldOf(*patient.status, "server") +
                   ", the configuration says " + settings.server,
               "send telemd a SIGHUP, then it reads the configuration again");
  }
  return Well(settings.server + " (" + settings.server_protocol + ")");
}

Finding CheckNetwork(const Patient& patient) {
  if (!patient.is_consent_given) return Skipped("without consent not one packet is sent");
  if (patient.settings().server.empty()) return Skipped("no server is set");
  Finding found = TryHost(FirstHost(patient.settings()));
  if (found.kind == Finding::Kind::kWell || !patient.settings().proxy.empty()) return found;
  for (const std::string& proxy : ProxiesOfEnvironment(patient)) {
    found = TryHost(HostOfProxy(proxy));
    found.what = "the proxy of telem-deliver's environment: " + found.what;
    if (found.kind == Finding::Kind::kWell) return found;
  }
  // Others cannot see whether there is a proxy.
  const bool is_delivered = patient.status && FieldOf(*patient.status, "failing") == "false" &&
                            NumberOf(*patient.status, "last_success") > 0;
  if (::geteuid() == 0 || !is_delivered) return found;
  return Skipped(found.what +
                 "; the last record was delivered, maybe by a proxy of "
                 "telem-deliver's environment: ask as root");
}

Finding CheckCertificates(const Patient& patient) {
  const Settings& settings = patient.settings();
  const std::array<std::pair<const char*, const std::string*>, 3> files = {
      {{"cainfo", &settings.cainfo},
       {"clientcert", &settings.clientcert},
       {"clientkey", &settings.clientkey}}};
  const Reader reader = ReaderOfCertificates(patient);
  for (const auto& [key, file] : files) {
    if (file->empty()) continue;
    const auto text = ReadFile(*file, kMaxCertificates);
    if (!text && text.error().code == ErrorCode::kDenied && ::geteuid() != 0) {
      return Skipped(std::string(key) + ": " + text.error().message + "; ask as root");
    }
    if (!text) {
      return Ill(std::string(key) + ": " + text.error().message,
                 "correct its name, or let telem-deliver read it");
    }
    if (!text->contains("-----BEGIN ")) {
      return Ill(std::string(key) + ": there is nothing in PEM form in '" + *file + "'",
                 "openssl x509 -inform der -in FILE -out FILE.pem makes that of another form");
    }
    // Then systemd passes that one, whatever is named here.
    const bool is_passed = reader.gets_key_from_systemd && file == &settings.clientkey &&
                           ::access(kKeyOfSystemd, F_OK) == 0;
    if (::geteuid() != 0 || is_passed) continue;
    if (const int error = TryOpenAs(reader, *file); error != 0) {
      return Ill(std::string(key) + ": " + reader.name + " may not read '" + *file +
                     "': " + std::strerror(error),
                 reader.gets_key_from_systemd
                     ? std::string("let everybody read it; a key goes to ") + kKeyOfSystemd
                     : "chown " + reader.name + " " + *file);
    }
  }
  if (settings.cainfo.empty()) return Well("the system's are trusted");
  return Well("those in '" + settings.cainfo + "' are trusted");
}

Finding CheckDelivery(const Patient& patient) {
  if (!patient.status) return Skipped("telemd does not answer");
  if (FieldOf(*patient.status, "failing") == "true") {
    return Diagnose(FieldOf(*patient.status, "last_error"));
  }
  const auto success = ParseUnsigned(FieldOf(*patient.status, "last_success"));
  if (!success) return Well("nothing was delivered yet; 'telemctl test' tries it");
  return Well("the last record was delivered at " + LocalTimeText(*success));
}

Finding CheckSpool(const Patient& patient) {
  if (!patient.status) return Skipped("telemd does not answer");
  const ControlFields& status = *patient.status;
  const Settings& settings = patient.settings();
  const uint64_t waiting = NumberOf(status, "waiting");
  const uint64_t kib = NumberOf(status, "spool_bytes") / 1024;
  const auto max = ParseUnsigned(FieldOf(status, "spool_max_kib"));
  if (max && kib + 4 > *max) {
    return Ill("the spool is full: " + std::to_string(kib) + " of " + std::to_string(*max) +
                   " KiB (spool_max_size); new records are refused, or others go for them",
               "deliver what waits (see the checks above), or raise spool_max_size");
  }
  const auto oldest = ParseUnsigned(FieldOf(status, "oldest_waiting"));
  const uint64_t age = oldest && *oldest < patient.now ? patient.now - *oldest : 0;
  const auto expiry = static_cast<uint64_t>(settings.record_expiry) * 60;
  if (age > expiry / 2) {
    return Ill("the oldest record waits for " + DurationText(age) + ", and is given up after " +
                   DurationText(expiry) + " (record_expiry)",
               "deliver what waits (see the checks above), export it, or raise record_expiry");
  }
  return Well(CountText(waiting) + " waiting" +
              (max ? ", " + std::to_string(kib) + " of " + std::to_string(*max) + " KiB" : ""));
}

Finding CheckRateLimit(const Patient& patient) {
  if (!patient.status) return Skipped("telemd does not answer");
  const auto until = ParseUnsigned(FieldOf(*patient.status, "limited_until"));
  const Settings& settings = patient.settings();
  if (!until) return Well("is not reached");
  return Ill("is reached (record_burst_limit = " + std::to_string(settings.record_burst_limit) +
                 " in " + std::to_string(settings.record_window_length) +
                 " min, byte_burst_limit = " + std::to_string(settings.byte_burst_limit) + " in " +
                 std::to_string(settings.byte_window_length) + " min): " +
                 FieldOf(*patient.status, "waiting") + " waiting until " + LocalTimeText(*until),
             "wait, find out who sends so much (telemctl journal --wide), or raise the limit");
}

Finding CheckRejected(const Patient& patient) {
  if (!patient.status) return Skipped("telemd does not answer");
  if (patient.rejected.empty()) return Well("none");
  const ControlFields& last = patient.rejected.back().fields;
  const std::string count = CountText(patient.rejected.size());
  if (FieldOf(last, "code") == "-") {
    return Ill(count + " that cannot be delivered, the last: " + FieldOf(last, "reason"),
               "'telemctl rejected list' shows them, 'telemctl rejected drop --all' gives them up");
  }
  Finding finding = Diagnose(FieldOf(last, "code") + " " + FieldOf(last, "reason"));
  finding.what = count + " refused by the server, the last: " + finding.what;
  finding.cure += "; 'telemctl rejected list' shows them, retry or drop them when done";
  return finding;
}

}  // namespace telem
