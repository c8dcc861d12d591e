// Generated pages are what the programs print today.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "repository/tree.hpp"
#include "support/process.hpp"

namespace qccl::test {
namespace {

TEST(Docs, ConfigPageIsWhatTheTableOfSettingsSays) {
  const ProcessResult printed = runProcess({QCCL_INFO, "--config-markdown"});
  ASSERT_EQ(printed.exitCode, 0) << printed.err;
  EXPECT_EQ(readTreeFile("docs/config.md"), printed.out) << "write it anew: build/bin/qccl-info --config-markdown > docs/config.md";
}

}  // namespace
}  // namespace qccl::test
