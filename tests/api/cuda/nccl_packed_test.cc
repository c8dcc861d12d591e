// Collectives of packed buffers over NCCL give the host's bits, whatever the tiles.
#include <tuple>

#include "api/cuda/nccl_ranks.hpp"
#include "api/cuda/packed_contracts.hpp"

namespace qccl::test {
namespace {

class PackedOverNccl : public OverNccl {
 protected:
  static void expectHostBitsOverNccl(int size, const std::vector<Operation>& operations, int ranksPerHost = 0) {
    expectHostBits(size, operations, ranksPerHost, kNcclTimeoutMs);
  }
};

// Ranks, algorithm, ranks per host, what tiles are cut by.
class PackedOverNcclAllReduce : public PackedOverNccl, public testing::WithParamInterface<std::tuple<int, int, int, const char*>> {
 protected:
  void SetUp() override {
    PackedOverNccl::SetUp();
    if (!IsSkipped() && device::cuda::deviceCount() < size()) GTEST_SKIP() << "NCCL needs a GPU for each of " << size() << " ranks";
  }
  int size() const { return std::get<0>(GetParam()); }
  int algorithm() const { return std::get<1>(GetParam()); }
  int ranksPerHost() const { return std::get<2>(GetParam()); }

 private:
  const Setting tileBytes_{"QCCL_NCCL_TILE_BYTES", std::get<3>(GetParam())};
};

TEST_P(PackedOverNcclAllReduce, EveryFormatAndTypeHasTheHostsBits) {
  expectHostBitsOverNccl(size(), packedAllReduces(algorithm(), 200001), ranksPerHost());
}

TEST_P(PackedOverNcclAllReduce, AnyCountHasTheHostsBits) {
  expectHostBitsOverNccl(size(), packedAllReducesOfAnyCount(algorithm()), ranksPerHost());
}

std::string nameOfCase(const testing::TestParamInfo<std::tuple<int, int, int, const char*>>& info) {
  return std::string(qcclEnumName(qcclEnumAlgo, std::get<1>(info.param))) + "_" + std::to_string(std::get<0>(info.param)) + "_by_" +
         std::get<3>(info.param);
}

INSTANTIATE_TEST_SUITE_P(Algorithms, PackedOverNcclAllReduce,
                         testing::Combine(testing::Values(2, 4),
                                          testing::Values(qcclAlgoOneshot, qcclAlgoTwoshot, qcclAlgoRing, qcclAlgoTree), testing::Values(0),
                                          testing::Values("8M", "4K")),
                         nameOfCase);
INSTANTIATE_TEST_SUITE_P(Hosts, PackedOverNcclAllReduce,
                         testing::Combine(testing::Values(4), testing::Values(qcclAlgoHier), testing::Values(2),
                                          testing::Values("8M", "4K")),
                         nameOfCase);

TEST_F(PackedOverNccl, ReduceScatterAndAllGatherHaveTheHostsBits) {
  const Setting tileBytes("QCCL_NCCL_TILE_BYTES", "16K");
  expectHostBitsOverNccl(2, packedReduceScattersAndAllGathers());
}

TEST_F(PackedOverNccl, GatheringInPlaceHasTheHostsBits) { expectGatheredInPlace(makeNcclRanks()); }

TEST_F(PackedOverNccl, GraphsOfAccumulationAndReductionReplay) {
  const Setting tileBytes("QCCL_NCCL_TILE_BYTES", "16K");
  expectPackedReplaysHaveTheHostsBits(makeNcclRanks());
}

TEST_F(PackedOverNccl, StatisticsAreTheHosts) { expectTheHostsPackedStatistics(makeNcclRanks()); }

}  // namespace
}  // namespace qccl::test
