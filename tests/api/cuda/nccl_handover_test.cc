// Calls that are the real NCCL's: types and operations that qccl's kernels do not have, algorithm nccl, sends and receives.
#include <gmock/gmock.h>

#include "api/cuda/nccl_ranks.hpp"

namespace qccl::test {
namespace {

using testing::HasSubstr;

// Small whole numbers, whose sums and products every type holds.
std::vector<char> smallNumbers(qcclDataType_t dtype, std::size_t elems, unsigned seed) {
  Random random(seed);
  std::vector<char> bytes(elems * qcclTypeSize(dtype));
  const auto put = [&](std::size_t i, auto value) { std::memcpy(bytes.data() + i * sizeof(value), &value, sizeof(value)); };
  for (std::size_t i = 0; i < elems; ++i) {
    const int x = static_cast<int>(random() % 8);
    const bool negative = dtype != qcclUint8 && dtype != qcclUint32 && dtype != qcclUint64 && random() % 2 == 0;
    const int value = negative ? -x : x;
    switch (dtype) {
      case qcclInt8:
      case qcclUint8:
        put(i, static_cast<std::int8_t>(value));
        break;
      case qcclInt32:
      case qcclUint32:
        put(i, static_cast<std::int32_t>(value));
        break;
      case qcclInt64:
      case qcclUint64:
        put(i, static_cast<std::int64_t>(value));
        break;
      case qcclFloat16:
        put(i, quant::toFloat16(static_cast<float>(value)));
        break;
      case qcclBfloat16:
        put(i, quant::toBfloat16(static_cast<float>(value)));
        break;
      case qcclFloat64:
        put(i, static_cast<double>(value));
        break;
      default:
        put(i, static_cast<float>(value));
        break;
    }
  }
  return bytes;
}

// On host and GPU memory, compared byte by byte.
void expectHostBytes(const std::vector<Operation>& operations) {
  std::vector<Buffers> inputs;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    Buffers buffers;
    for (unsigned rank = 0; rank < 2; ++rank)
      buffers.push_back(smallNumbers(operations[i].dtype, operations[i].inputElems(2), static_cast<unsigned>(i) * 2 + rank));
    inputs.push_back(std::move(buffers));
  }
  std::vector<Operation> onHost = operations;
  for (Operation& operation : onHost) operation.quant.algorithm = QCCL_UNDEF_INT;
  const auto host = runAll(makeRanks(2), onHost, inputs, false);
  const auto device = runAll(makeNcclRanks(), operations, inputs, true);
  for (std::size_t i = 0; i < operations.size(); ++i) {
    for (std::size_t rank = 0; rank < 2; ++rank) {
      if (operations[i].coll == qcclCollReduce && static_cast<int>(rank) != operations[i].root) continue;
      EXPECT_EQ(host[i][rank], device[i][rank]) << nameOf(operations[i]) << ", rank " << rank;
    }
  }
}

std::vector<Operation> exactOperations() {
  std::vector<Operation> operations;
  const auto add = [&](qcclColl_t coll, qcclDataType_t dtype, qcclRedOp_t op) {
    Operation operation;
    operation.coll = coll;
    operation.dtype = dtype;
    operation.op = op;
    operation.root = 1;
    operation.inPlace = coll == qcclCollAllReduce && operations.size() % 2 == 0;
    operations.push_back(operation);
  };
  for (const qcclDataType_t dtype : {qcclInt8, qcclUint8, qcclInt32, qcclUint32, qcclInt64, qcclUint64, qcclFloat64}) {
    for (const qcclColl_t coll : {qcclCollAllReduce, qcclCollReduceScatter, qcclCollReduce}) {
      for (const qcclRedOp_t op : {qcclSum, qcclProd, qcclMax, qcclMin}) add(coll, dtype, op);
    }
    add(qcclCollAllGather, dtype, qcclSum);
    add(qcclCollBroadcast, dtype, qcclSum);
  }
  add(qcclCollAllReduce, qcclFloat64, qcclAvg);
  for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclFloat16}) {
    for (const qcclRedOp_t op : {qcclProd, qcclMax, qcclMin}) add(qcclCollAllReduce, dtype, op);
    add(qcclCollReduceScatter, dtype, qcclMax);
    add(qcclCollReduce, dtype, qcclMin);
  }
  return operations;
}

TEST_F(WithNccl, OtherTypesAndOperationsAreNccls) { expectHostBytes(exactOperations()); }

TEST_F(OverNccl, OtherTypesAndOperationsAreNcclsHereToo) { expectHostBytes(exactOperations()); }

TEST_F(WithNccl, AlgorithmNcclIsNcclsAllReduce) {
  std::vector<Operation> operations;
  for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclFloat16, qcclFloat64, qcclInt32}) {
    for (const std::size_t count : {1, 1000, 500009}) {
      Operation operation;
      operation.dtype = dtype;
      operation.count = count;
      operation.quant.algorithm = qcclAlgoNccl;
      operation.quant.codec = qcclCodecNone;
      operations.push_back(operation);
    }
  }
  expectHostBytes(operations);
}

TEST_F(WithNccl, AlgorithmNcclIsRefusedWhereItCannotBe) {
  const RankThreads ranks = makeNcclRanks();
  std::vector<float> host(1000);
  qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
  quant.algorithm = qcclAlgoNccl;
  const qcclComm_t comm = ranks.comm(0);
  EXPECT_EQ(qcclAllReduceEx(host.data(), host.data(), host.size(), qcclFloat32, qcclSum, &quant, comm, nullptr), qcclInvalidArgument);
  EXPECT_THAT(qcclGetLastError(nullptr), HasSubstr("NCCL has no calls on host memory"));
  const device::cuda::DeviceGuard guard(0);
  const device::cuda::DeviceBuffer memory(4000);
  void* const data = const_cast<unsigned char*>(memory.data());
  quant.codec = qcclCodecInt8;
  quant.minBytes = 0;
  EXPECT_EQ(qcclAllReduceEx(data, data, 1000, qcclFloat32, qcclSum, &quant, comm, nullptr), qcclInvalidArgument);
  EXPECT_THAT(qcclGetLastError(nullptr), HasSubstr("algorithm nccl is exact"));
}

void exchangeInBothDirections(const RankThreads& ranks) {
  constexpr std::size_t kCount = 100003;
  std::vector<char> sent[2];
  for (unsigned rank = 0; rank < 2; ++rank) sent[rank] = smallNumbers(qcclInt32, kCount, 77 + rank);
  ranks.run([&](int rank, qcclComm_t comm) {
    const device::cuda::DeviceGuard guard(deviceOf(rank));
    device::cuda::Stream stream;
    DeviceMemory from(sent[rank].size(), 0), to(sent[rank].size(), 4), own(sent[rank].size(), 0);
    from.fill(sent[rank], stream.handle());
    to.fill({}, stream.handle());
    own.fill({}, stream.handle());
    for (int i = 0; i < 3; ++i) {
      QCCL_ASSERT_OK(qcclGroupStart());
      QCCL_EXPECT_OK(qcclSend(from.data(), kCount, qcclInt32, 1 - rank, comm, stream.handle()));
      QCCL_EXPECT_OK(qcclRecv(to.data(), kCount, qcclInt32, 1 - rank, comm, stream.handle()));
      QCCL_EXPECT_OK(qcclSend(from.data(), kCount, qcclInt32, rank, comm, stream.handle()));
      QCCL_EXPECT_OK(qcclRecv(own.data(), kCount, qcclInt32, rank, comm, stream.handle()));
      QCCL_ASSERT_OK(qcclGroupEnd());
    }
    EXPECT_EQ(to.read(stream), sent[1 - rank]);
    EXPECT_EQ(own.read(stream), sent[rank]);
  });
}

TEST_F(WithNccl, SendsAndReceivesAreNccls) { exchangeInBothDirections(makeNcclRanks()); }

TEST_F(OverNccl, SendsAndReceivesAreNcclsHereToo) { exchangeInBothDirections(makeNcclRanks()); }

TEST_F(WithNccl, OneWayWithoutAGroup) {
  const RankThreads ranks = makeNcclRanks();
  const std::vector<char> sent = smallNumbers(qcclFloat32, 1000, 5);
  ranks.run([&](int rank, qcclComm_t comm) {
    const device::cuda::DeviceGuard guard(deviceOf(rank));
    device::cuda::Stream stream;
    DeviceMemory memory(sent.size(), 0);
    memory.fill(rank == 0 ? sent : std::vector<char>(), stream.handle());
    QCCL_ASSERT_OK(rank == 0 ? qcclSend(memory.data(), 1000, qcclFloat32, 1, comm, stream.handle())
                             : qcclRecv(memory.data(), 1000, qcclFloat32, 0, comm, stream.handle()));
    EXPECT_EQ(memory.read(stream), sent);
  });
}

// Calls of qccl's kernels and of NCCL on one communicator, each on a stream of its own: they run one after another.
TEST_F(WithNccl, BothKindsOfCallsInTurn) {
  const RankThreads ranks = makeNcclRanks();
  constexpr std::size_t kCount = 200000;
  constexpr int kRounds = 100;
  ranks.run([&](int rank, qcclComm_t comm) {
    const device::cuda::DeviceGuard guard(deviceOf(rank));
    device::cuda::Stream streams[2];
    DeviceMemory floats(kCount * 4, 0), sums(kCount * 4, 0), numbers(kCount * 4, 0), most(kCount * 4, 0);
    const std::vector<char> ones = [&] {
      std::vector<float> values(kCount, 1.0f);
      return std::vector<char>(reinterpret_cast<char*>(values.data()), reinterpret_cast<char*>(values.data() + kCount));
    }();
    floats.fill(ones, streams[0].handle());
    sums.fill({}, streams[0].handle());
    numbers.fill(std::vector<char>(kCount * 4, static_cast<char>(rank + 1)), streams[1].handle());
    most.fill({}, streams[1].handle());
    for (int i = 0; i < kRounds; ++i) {
      QCCL_ASSERT_OK(qcclAllReduce(floats.data(), sums.data(), kCount, qcclFloat32, qcclSum, comm, streams[0].handle()));
      QCCL_ASSERT_OK(qcclAllReduce(numbers.data(), most.data(), kCount, qcclInt32, qcclMax, comm, streams[1].handle()));
    }
    std::vector<char> result = sums.read(streams[0]);
    for (std::size_t i = 0; i < kCount; ++i) {
      float x = 0;
      std::memcpy(&x, result.data() + 4 * i, sizeof(x));
      ASSERT_EQ(x, 2.0f);
    }
    EXPECT_EQ(most.read(streams[1]), std::vector<char>(kCount * 4, 2));
  });
}

}  // namespace
}  // namespace qccl::test
