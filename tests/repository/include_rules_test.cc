// The directions of includes: on the tree as it is, and on planted files, so that a check that has gone blind is seen.
#include "repository/include_rules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "repository/tree.hpp"

namespace qccl::test {
namespace {

bool existsInTree(const std::string& path) {
  const std::vector<std::string>& files = treeFiles();
  return std::binary_search(files.begin(), files.end(), path) || path == "include/qccl/version.h";  // generated
}

TEST(Includes, FollowTheLayersInTheWholeTree) {
  std::set<std::string> folders;
  for (const std::string& file : treeFiles()) {
    const bool ours = file.starts_with("src/") || file.starts_with("include/") || file.starts_with("plugins/") ||
                      file.starts_with("trainer/") || file.starts_with("bench/");
    if (!ours || !isSource(file)) continue;
    folders.insert(file.substr(0, file.find('/')));
    for (const Violation& violation : checkIncludes(file, readTreeFile(file), existsInTree)) ADD_FAILURE() << violation.describe();
  }
  EXPECT_THAT(folders, testing::IsSupersetOf({"src", "include", "bench"})) << "the tree was not read";
}

// A small tree to resolve against.
bool existsInSketch(const std::string& path) {
  static const std::set<std::string> files = {
      "include/qccl/qccl.h",       "include/qccl/version.h",    "src/core/error.hpp",           "src/quant/codec.hpp",
      "src/quant/wire_format.hpp", "src/quant/cpu/kernels.hpp", "src/transport/ucx/x.hpp",      "src/api/guard.hpp",
      "trainer/core/ops.hpp",      "trainer/model.hpp",         "src/collectives/executor.hpp", "bench/perf/options.hpp"};
  return files.contains(path);
}

struct Case {
  const char* name;
  const char* file;
  const char* line;
  bool allowed;
};

class PlantedInclude : public testing::TestWithParam<Case> {};

TEST_P(PlantedInclude, IsJudged) {
  const Case& c = GetParam();
  const std::vector<Violation> found = checkIncludes(c.file, std::string("// a file\n") + c.line + "\nint x;\n", existsInSketch);
  if (c.allowed) {
    EXPECT_TRUE(found.empty()) << found.front().describe();
  } else {
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].line, 2);
    EXPECT_THAT(found[0].describe(), testing::StartsWith(std::string(c.file) + ":2: "));
  }
}

INSTANTIATE_TEST_SUITE_P(Includes, PlantedInclude,
                         testing::Values(Case{"own_layer", "src/quant/cpu/a.cc", "#include \"quant/codec.hpp\"", true},
                                         Case{"own_folder", "src/core/error.cc", "#include \"error.hpp\"", true},
                                         Case{"downward", "src/collectives/a.cc", "#include \"quant/codec.hpp\"", true},
                                         Case{"api_sees_all", "src/api/c_api.cc", "#include \"collectives/executor.hpp\"", true},
                                         Case{"public_header", "src/core/a.cc", "#include <qccl/qccl.h>", true},
                                         Case{"system_header", "src/core/a.cc", "#include <vector>", true},
                                         Case{"commented_out", "src/core/a.cc", "// #include \"api/guard.hpp\"", true},
                                         Case{"same_folder_name_outside", "trainer/a.cc", "#include \"core/ops.hpp\"", true},
                                         Case{"trainer_own", "trainer/core/a.cc", "#include \"model.hpp\"", true},
                                         Case{"trainer_api", "trainer/a.cc", "#include <qccl/qccl.h>", true},
                                         Case{"codec_and_format", "src/quant/codec.hpp", "#include \"quant/wire_format.hpp\"", true},
                                         Case{"ucx_in_transport", "src/transport/ucx/a.cc", "#include <ucp/api/ucp.h>", true},
                                         Case{"layer_benchmark", "bench/codec/a.cc", "#include \"quant/codec.hpp\"", true},
                                         Case{"layer_benchmark_above", "bench/codec/a.cc", "#include \"transport/ucx/x.hpp\"", false},
                                         Case{"upward", "src/core/a.cc", "#include \"quant/codec.hpp\"", false},
                                         Case{"sideways", "src/quant/a.cc", "#include \"transport/ucx/x.hpp\"", false},
                                         Case{"transport_to_quant", "src/transport/a.cc", "#include \"quant/codec.hpp\"", false},
                                         Case{"collectives_to_api", "src/collectives/a.cc", "#include \"api/guard.hpp\"", false},
                                         Case{"by_dots", "src/core/a.cc", "#include \"../quant/codec.hpp\"", false},
                                         Case{"by_brackets", "src/core/a.cc", "#include <quant/codec.hpp>", false},
                                         Case{"odd_spacing", "src/core/a.cc", "  #  include\t\"quant/codec.hpp\" // why", false},
                                         Case{"not_there_yet", "src/core/a.cc", "#include \"memory/pool.hpp\"", false},
                                         Case{"no_such_file", "src/core/a.cc", "#include \"nothing/here.hpp\"", false},
                                         Case{"codec_to_kernels", "src/quant/codec.hpp", "#include \"quant/cpu/kernels.hpp\"", false},
                                         Case{"codec_to_device", "src/quant/codec.hpp", "#include \"device/memory.hpp\"", false},
                                         Case{"bench_to_core", "bench/perf/a.cc", "#include \"core/error.hpp\"", false},
                                         Case{"trainer_to_core", "trainer/a.cc", "#include \"core/error.hpp\"", false},
                                         Case{"plugin_to_api", "plugins/nccl/a.cc", "#include \"../../src/api/guard.hpp\"", false},
                                         Case{"trainer_to_bench", "trainer/a.cc", "#include \"../bench/perf/options.hpp\"", false},
                                         Case{"public_to_internal", "include/qccl/qccl.h", "#include \"core/error.hpp\"", false},
                                         Case{"src_to_trainer", "src/api/a.cc", "#include \"../../trainer/model.hpp\"", false},
                                         Case{"ucx_elsewhere", "src/collectives/a.cc", "#include <ucp/api/ucp.h>", false},
                                         Case{"cuda_in_algorithm", "src/collectives/ring.cc", "#include <cuda_runtime.h>", false},
                                         Case{"cuda_in_bench", "bench/perf/timing.cc", "#include <cuda_runtime_api.h>", false},
                                         Case{"nccl_in_bench", "bench/perf/peer.cc", "#include <nccl.h>", false},
                                         Case{"nccl_in_its_place", "bench/perf/cuda/a.cc", "#include <nccl.h>", true},
                                         Case{"json_in_library", "src/core/a.cc", "#include <nlohmann/json.hpp>", false},
                                         Case{"gtest_in_program", "bench/perf/a.cc", "#include <gtest/gtest.h>", false}),
                         [](const testing::TestParamInfo<Case>& planted) { return planted.param.name; });

TEST(Includes, AFolderThatIsNoLayerIsRefused) {
  EXPECT_EQ(checkIncludes("src/helpers/a.cc", "int x;\n", existsInSketch).size(), 1u);
  EXPECT_EQ(checkIncludes("src/loose.cc", "int x;\n", existsInSketch).size(), 1u);
}

}  // namespace
}  // namespace qccl::test
