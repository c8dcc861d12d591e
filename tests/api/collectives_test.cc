// The conformance suite of exact collectives: transport x ranks x algorithm x type x operation x count x in place or not, every element of
// every rank.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <tuple>

#include "quant/float_formats.hpp"
#include "rank_threads.hpp"

namespace qccl::test {
namespace {

constexpr qcclDataType_t kAllTypes[] = {qcclInt8,    qcclUint8,   qcclInt32,   qcclUint32,   qcclInt64,      qcclUint64,
                                        qcclFloat16, qcclFloat32, qcclFloat64, qcclBfloat16, qcclFloat8e4m3, qcclFloat8e5m2};
constexpr qcclRedOp_t kAllOps[] = {qcclSum, qcclProd, qcclMax, qcclMin, qcclAvg};

// Element values are small integers that every type holds exactly, and so are their sums, products and averages over up to 8 ranks:
// whatever the order of additions, there is one right answer.
int valueOf(int rank, std::size_t i, qcclRedOp_t op) {
  const std::size_t hash = (i * 2654435761u + static_cast<std::size_t>(rank) * 40503u) >> 7;
  if (op == qcclProd) return hash % 5 == 0 ? 2 : 1;   // up to 2^8, which E4M3 and the others hold; int8 wraps alike everywhere
  if (op == qcclAvg) return static_cast<int>(i % 2);  // the same on every rank: the average is the value
  return static_cast<int>(hash % 2);
}

int expectedOf(std::size_t i, qcclRedOp_t op, int size) {
  int result = valueOf(0, i, op);
  for (int rank = 1; rank < size; ++rank) {
    const int x = valueOf(rank, i, op);
    if (op == qcclSum) result += x;
    if (op == qcclProd) result *= x;
    if (op == qcclMax) result = std::max(result, x);
    if (op == qcclMin) result = std::min(result, x);
  }
  return result;
}

void store(qcclDataType_t dtype, void* buffer, std::size_t i, int value) {
  const auto put = [&](auto typed) { std::memcpy(static_cast<char*>(buffer) + i * sizeof(typed), &typed, sizeof(typed)); };
  switch (dtype) {
    case qcclInt8:
      put(static_cast<std::int8_t>(value));
      break;
    case qcclUint8:
      put(static_cast<std::uint8_t>(value));
      break;
    case qcclInt32:
      put(static_cast<std::int32_t>(value));
      break;
    case qcclUint32:
      put(static_cast<std::uint32_t>(value));
      break;
    case qcclInt64:
      put(static_cast<std::int64_t>(value));
      break;
    case qcclUint64:
      put(static_cast<std::uint64_t>(value));
      break;
    case qcclFloat16:
      put(quant::toFloat16(static_cast<float>(value)));
      break;
    case qcclFloat32:
      put(static_cast<float>(value));
      break;
    case qcclFloat64:
      put(static_cast<double>(value));
      break;
    case qcclBfloat16:
      put(quant::toBfloat16(static_cast<float>(value)));
      break;
    case qcclFloat8e4m3:
      put(quant::Float8E4m3::fromFloat(static_cast<float>(value)));
      break;
    case qcclFloat8e5m2:
      put(quant::Float8E5m2::fromFloat(static_cast<float>(value)));
      break;
    default:
      FAIL();
  }
}

std::vector<char> filled(qcclDataType_t dtype, std::size_t count, const std::function<int(std::size_t)>& value) {
  std::vector<char> buffer(count * qcclTypeSize(dtype));
  for (std::size_t i = 0; i < count; ++i) store(dtype, buffer.data(), i, value(i));
  return buffer;
}

// A sum of ones over ranks fits even E5M2 (3 significant bits, exact up to 8) for up to 8 ranks, products of a few twos too.
class Collectives : public testing::TestWithParam<std::tuple<const char*, int>> {
 protected:
  const char* transport() const { return std::get<0>(GetParam()); }
  int size() const { return std::get<1>(GetParam()); }
};

constexpr std::size_t kCounts[] = {0, 1, 2, 3, 7, 63, 257, 1009};

TEST_P(Collectives, AllReduceEveryTypeAndOperation) {
  const RankThreads ranks(transport(), size());
  ranks.run([&](int rank, qcclComm_t comm) {
    for (const qcclDataType_t dtype : kAllTypes) {
      for (const qcclRedOp_t op : kAllOps) {
        for (const std::size_t count : kCounts) {
          for (const bool inPlace : {false, true}) {
            std::vector<char> in = filled(dtype, count, [&](std::size_t i) { return valueOf(rank, i, op); });
            const std::vector<char> expected = filled(dtype, count, [&](std::size_t i) { return expectedOf(i, op, size()); });
            std::vector<char> out(in.size(), 0x5a);
            QCCL_ASSERT_OK(qcclAllReduce(in.data(), inPlace ? in.data() : out.data(), count, dtype, op, comm, nullptr));
            ASSERT_EQ(inPlace ? in : out, expected)
                << qcclEnumName(qcclEnumDataType, dtype) << " " << qcclEnumName(qcclEnumRedOp, op) << " " << count;
          }
        }
      }
    }
  });
}

TEST_P(Collectives, AllReduceEveryAlgorithmAcrossTiles) {
  // Several tiles of 4 KiB in each chunk, and a ragged end.
  setenv("QCCL_TILE_BYTES", "4K", 1);
  const RankThreads ranks(transport(), size());
  unsetenv("QCCL_TILE_BYTES");
  ranks.run([&](int rank, qcclComm_t comm) {
    // Hier with every way to lie on hosts.
    std::vector<std::pair<int, int>> routes;  // algorithm, ranks per host
    for (int algorithm = qcclAlgoOneshot; algorithm < qcclAlgoNccl; ++algorithm) {
      for (int perHost = algorithm == qcclAlgoHier ? 1 : size(); perHost <= size(); ++perHost) {
        if (size() % perHost == 0) routes.emplace_back(algorithm, perHost);
      }
    }
    for (const auto& [algorithm, perHost] : routes) {
      for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclInt32}) {
        for (const bool inPlace : {false, true}) {
          const std::size_t count = 50021;
          qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
          quant.algorithm = algorithm;
          quant.ranksPerHost = perHost;
          std::vector<char> in = filled(dtype, count, [&](std::size_t i) { return valueOf(rank, i, qcclSum); });
          const std::vector<char> expected = filled(dtype, count, [&](std::size_t i) { return expectedOf(i, qcclSum, size()); });
          std::vector<char> out(in.size(), 0x5a);
          QCCL_ASSERT_OK(qcclAllReduceEx(in.data(), inPlace ? in.data() : out.data(), count, dtype, qcclSum, &quant, comm, nullptr));
          ASSERT_EQ(inPlace ? in : out, expected) << qcclEnumName(qcclEnumAlgo, algorithm) << " " << perHost;
        }
      }
    }
  });
}

TEST_P(Collectives, ReduceScatter) {
  const RankThreads ranks(transport(), size());
  ranks.run([&](int rank, qcclComm_t comm) {
    for (const qcclDataType_t dtype : kAllTypes) {
      for (const std::size_t count : kCounts) {
        for (const bool inPlace : {false, true}) {
          const std::size_t own = static_cast<std::size_t>(rank) * count;
          std::vector<char> in =
              filled(dtype, count * static_cast<std::size_t>(size()), [&](std::size_t i) { return valueOf(rank, i, qcclSum); });
          const std::vector<char> expected = filled(dtype, count, [&](std::size_t i) { return expectedOf(own + i, qcclSum, size()); });
          std::vector<char> out(expected.size(), 0x5a);
          char* target = inPlace ? in.data() + own * qcclTypeSize(dtype) : out.data();
          QCCL_ASSERT_OK(qcclReduceScatter(in.data(), target, count, dtype, qcclSum, comm, nullptr));
          ASSERT_EQ(std::vector<char>(target, target + expected.size()), expected) << qcclEnumName(qcclEnumDataType, dtype) << " " << count;
        }
      }
    }
  });
}

TEST_P(Collectives, AllGather) {
  const RankThreads ranks(transport(), size());
  ranks.run([&](int rank, qcclComm_t comm) {
    for (const qcclDataType_t dtype : kAllTypes) {
      for (const std::size_t count : kCounts) {
        for (const bool inPlace : {false, true}) {
          const std::vector<char> in = filled(dtype, count, [&](std::size_t i) { return valueOf(rank, i, qcclSum); });
          std::vector<char> expected;
          for (int r = 0; r < size(); ++r) {
            const std::vector<char> part = filled(dtype, count, [&](std::size_t i) { return valueOf(r, i, qcclSum); });
            expected.insert(expected.end(), part.begin(), part.end());
          }
          std::vector<char> out(expected.size(), 0x5a);
          char* own = out.data() + static_cast<std::size_t>(rank) * in.size();
          if (inPlace && !in.empty()) std::memcpy(own, in.data(), in.size());
          QCCL_ASSERT_OK(qcclAllGather(inPlace ? own : in.data(), out.data(), count, dtype, comm, nullptr));
          ASSERT_EQ(out, expected);
        }
      }
    }
  });
}

TEST_P(Collectives, BroadcastAndReduceFromEveryRoot) {
  const RankThreads ranks(transport(), size());
  ranks.run([&](int rank, qcclComm_t comm) {
    for (int root = 0; root < size(); ++root) {
      for (const std::size_t count : kCounts) {
        const std::vector<char> in = filled(qcclFloat32, count, [&](std::size_t i) { return valueOf(rank, i, qcclSum); });
        std::vector<char> out(in.size(), 0x5a);
        QCCL_ASSERT_OK(qcclBroadcast(rank == root ? in.data() : nullptr, out.data(), count, qcclFloat32, root, comm, nullptr));
        ASSERT_EQ(out, filled(qcclFloat32, count, [&](std::size_t i) { return valueOf(root, i, qcclSum); }));
        std::vector<char> same = rank == root ? in : std::vector<char>(in.size());
        QCCL_ASSERT_OK(qcclBroadcast(same.data(), same.data(), count, qcclFloat32, root, comm, nullptr));
        ASSERT_EQ(same, out);

        std::vector<char> sum(in.size(), 0x5a);
        QCCL_ASSERT_OK(qcclReduce(in.data(), rank == root ? sum.data() : nullptr, count, qcclFloat32, qcclSum, root, comm, nullptr));
        if (rank == root) {
          ASSERT_EQ(sum, filled(qcclFloat32, count, [&](std::size_t i) { return expectedOf(i, qcclSum, size()); }));
        }
      }
    }
  });
}

TEST_P(Collectives, GroupedSendAndReceiveBetweenAllRanks) {
  const RankThreads ranks(transport(), size());
  ranks.run([&](int rank, qcclComm_t comm) {
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{100003}}) {
      std::vector<std::vector<int>> out, in;
      for (int peer = 0; peer < size(); ++peer) {
        out.emplace_back(count, rank * 100 + peer);
        in.emplace_back(count, -1);
      }
      QCCL_ASSERT_OK(qcclGroupStart());
      for (int peer = 0; peer < size(); ++peer) {
        QCCL_EXPECT_OK(qcclSend(out[static_cast<std::size_t>(peer)].data(), count, qcclInt32, peer, comm, nullptr));
        QCCL_EXPECT_OK(qcclRecv(in[static_cast<std::size_t>(peer)].data(), count, qcclInt32, peer, comm, nullptr));
      }
      QCCL_ASSERT_OK(qcclGroupEnd());
      for (int peer = 0; peer < size(); ++peer) ASSERT_EQ(in[static_cast<std::size_t>(peer)], std::vector<int>(count, peer * 100 + rank));
    }
  });
}

class CollectivesOfTwoRanks : public Collectives {};  // or more

TEST_P(CollectivesOfTwoRanks, SendsAndReceivesMatchInOrder) {
  const RankThreads ranks(transport(), size());
  ranks.run([&](int rank, qcclComm_t comm) {
    for (int i = 0; i < 50; ++i) {
      int value = i;
      if (rank == 0) {
        QCCL_ASSERT_OK(qcclSend(&value, 1, qcclInt32, 1, comm, nullptr));
      }
      if (rank == 1) {
        QCCL_ASSERT_OK(qcclRecv(&value, 1, qcclInt32, 0, comm, nullptr));
        ASSERT_EQ(value, i);
      }
    }
  });
}

TEST_P(Collectives, MisalignedBuffersWork) {
  // Aligned to the type only.
  const RankThreads ranks(transport(), size());
  ranks.run([&](int rank, qcclComm_t comm) {
    std::vector<float> in(70001 + 1), out(70001 + 3);
    for (std::size_t i = 0; i < 70001; ++i) in[i + 1] = static_cast<float>(valueOf(rank, i, qcclSum));
    QCCL_ASSERT_OK(qcclAllReduce(in.data() + 1, out.data() + 3, 70001, qcclFloat32, qcclSum, comm, nullptr));
    for (std::size_t i = 0; i < 70001; ++i) ASSERT_EQ(out[i + 3], static_cast<float>(expectedOf(i, qcclSum, size())));
  });
}

TEST_P(Collectives, NanWinsInMinAndMax) {
  const RankThreads ranks(transport(), size());
  ranks.run([&](int rank, qcclComm_t comm) {
    for (const qcclRedOp_t op : {qcclMin, qcclMax}) {
      std::vector<float> x(8, static_cast<float>(rank));
      x[static_cast<std::size_t>(rank) % 8] = std::numeric_limits<float>::quiet_NaN();
      QCCL_ASSERT_OK(qcclAllReduce(x.data(), x.data(), x.size(), qcclFloat32, op, comm, nullptr));
      for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(std::isnan(x[i]), i < static_cast<std::size_t>(size())) << i;
    }
  });
}

class CollectivesOfThreeRanks : public Collectives {};  // or more

TEST_P(CollectivesOfThreeRanks, SumsOfShortFloatsAreRoundedOnce) {
  // 1 + 2^-8 (W - 1 times) is lost one by one in BF16, but not in FP32: with twoshot the sum is rounded once at its end.
  const RankThreads ranks(transport(), size());
  ranks.run([&](int rank, qcclComm_t comm) {
    qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
    quant.algorithm = qcclAlgoTwoshot;
    std::vector<std::uint16_t> x(1000, quant::toBfloat16(rank == 0 ? 1.0f : 0x1p-8f));
    QCCL_ASSERT_OK(qcclAllReduceEx(x.data(), x.data(), x.size(), qcclBfloat16, qcclSum, &quant, comm, nullptr));
    const std::uint16_t expected = quant::toBfloat16(1.0f + static_cast<float>(size() - 1) * 0x1p-8f);
    for (const std::uint16_t bits : x) ASSERT_EQ(bits, expected);
  });
}

std::string nameOf(const testing::TestParamInfo<std::tuple<const char*, int>>& info) {
  return std::string(std::get<0>(info.param)) + "_W" + std::to_string(std::get<1>(info.param));
}

constexpr const char* kTransports[] = {"inproc", "ucx"};
INSTANTIATE_TEST_SUITE_P(All, Collectives, testing::Combine(testing::ValuesIn(kTransports), testing::Values(1, 2, 3, 4, 5, 8)), nameOf);
INSTANTIATE_TEST_SUITE_P(All, CollectivesOfTwoRanks, testing::Combine(testing::ValuesIn(kTransports), testing::Values(2, 3, 4, 5, 8)),
                         nameOf);
INSTANTIATE_TEST_SUITE_P(All, CollectivesOfThreeRanks, testing::Combine(testing::ValuesIn(kTransports), testing::Values(3, 4, 5, 8)),
                         nameOf);

}  // namespace
}  // namespace qccl::test
