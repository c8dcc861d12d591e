#include "memory/trace.hpp"

#include <algorithm>
#include <array>
#include <sstream>

#include "core/error.hpp"

namespace qccl::memory {
namespace {

using Kind = TraceEvent::Kind;

constexpr std::array<const char*, 6> kKindNames = {"save", "restore", "peek", "discard", "allocate", "free"};

// Reads or writes the fields of an event in their order: one table of what a line of each kind has.
template <typename Field>
void eachField(auto& event, Field field) {
  const Kind kind = event.kind;
  field(event.number);
  if (kind != Kind::discard && kind != Kind::free) field(event.name);
  if (kind == Kind::save || kind == Kind::allocate) field(event.bytes.codes);
  if (kind == Kind::save) field(event.bytes.scales);
  if (kind != Kind::discard) field(event.stream);
}

std::string withoutBlanks(std::string name) {
  std::replace_if(
      name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) <= ' '; }, '_');
  return name.empty() ? "_" : name;
}

}  // namespace

std::string formatEvent(const TraceEvent& event) {
  TraceEvent written = event;
  written.name = withoutBlanks(event.name);
  std::ostringstream line;
  line << kKindNames[static_cast<std::size_t>(event.kind)];
  eachField(written, [&](const auto& value) { line << ' ' << value; });
  return line.str();
}

std::vector<TraceEvent> readTrace(std::istream& in) {
  std::vector<TraceEvent> events;
  std::size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    std::istringstream fields(line);
    std::string kind;
    if (!(fields >> kind) || kind.starts_with('#')) continue;
    const auto found = std::find(kKindNames.begin(), kKindNames.end(), kind);
    if (found == kKindNames.end()) fail(qcclInvalidArgument, "line ", number, " of the trace: no call is named ", kind);
    TraceEvent event;
    event.kind = static_cast<Kind>(found - kKindNames.begin());
    eachField(event, [&](auto& value) { fields >> value; });
    std::string more;
    if (fields.fail() || fields >> more) fail(qcclInvalidArgument, "line ", number, " of the trace: ", line, ": not what ", kind, " has");
    events.push_back(std::move(event));
  }
  return events;
}

}  // namespace qccl::memory
