#include "memory/trace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "support/sentence.hpp"

namespace qccl::memory {
namespace {

using qccl::test::sentenceOf;
using testing::HasSubstr;
using Kind = TraceEvent::Kind;

TEST(Trace, IsReadAsItWasWritten) {
  const std::vector<TraceEvent> events = {
      {Kind::save, 3, "layers.0.q", {100, 16}, 1}, {Kind::peek, 3, "layers.0.q", {}, 0}, {Kind::restore, 3, "layers.0.q", {}, 2},
      {Kind::allocate, 0, "s", {77, 0}, 0},        {Kind::free, 0, "", {}, 4},           {Kind::discard, 9, "", {}, 0}};
  std::ostringstream out;
  out << "# a trace\n\n";
  for (const TraceEvent& event : events) out << formatEvent(event) << '\n';
  std::istringstream in(out.str());
  EXPECT_EQ(readTrace(in), events);
}

TEST(Trace, WrongLinesAreNamed) {
  const auto sentence = [](const std::string& text) {
    std::istringstream in(text);
    return sentenceOf([&] { readTrace(in); });
  };
  EXPECT_THAT(sentence("# x\nkeep 1 a\n"), HasSubstr("line 2 of the trace: no call is named keep"));
  EXPECT_THAT(sentence("save 1 a 10 0\n"), HasSubstr("line 1"));
  EXPECT_THAT(sentence("discard 1 2\n"), HasSubstr("not what discard has"));
  EXPECT_THAT(sentence("free x 0\n"), HasSubstr("line 1"));
}

}  // namespace
}  // namespace qccl::memory
