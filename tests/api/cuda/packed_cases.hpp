// Packed buffers for tests on GPU memory: formats, buffers of hostile values, and what counts as the same.
#pragma once

#include <qccl/packed.h>

#include <string>
#include <vector>

#include "api/cuda/device_cases.hpp"
#include "quant/formats.hpp"

namespace qccl::test {

// Every codec, scale and block, with the blocks taking turns: a case for each codec and scale.
inline std::vector<quant::PackedFormat> formatsWithBlocksInTurn() {
  std::vector<quant::PackedFormat> all = quant::formats(32);
  for (std::size_t i = 0; i < all.size(); ++i) all[i].blockElems = quant::kMinBlockElems << (i * 3 % 8);
  return all;
}

inline Operation packedOperation(qcclColl_t coll, int algorithm, const quant::PackedFormat& format, qcclDataType_t recvtype,
                                 std::size_t count) {
  Operation operation;
  operation.coll = coll;
  operation.count = count;
  operation.dtype = recvtype;
  operation.packed = format;
  operation.quant.algorithm = algorithm;
  operation.quant.seed = 7;
  return operation;
}

// What a packed buffer can be received as.
inline constexpr qcclDataType_t kReceivedTypes[] = {qcclPacked, qcclFloat32, qcclBfloat16, qcclFloat16};

// All-reduces of every codec, scale and block, received as everything.
inline std::vector<Operation> packedAllReduces(int algorithm, std::size_t count) {
  std::vector<Operation> operations;
  for (const quant::PackedFormat& format : formatsWithBlocksInTurn()) {
    for (const qcclDataType_t recvtype : kReceivedTypes) {
      Operation operation = packedOperation(qcclCollAllReduce, algorithm, format, recvtype, count);
      const std::size_t number = operations.size();
      operation.op = number % 3 == 1 ? qcclAvg : qcclSum;
      operation.quant.rounding = number / 4 % 2 == 0 ? qcclRoundNearest : qcclRoundStochastic;
      operation.inPlace = recvtype == qcclPacked && number / 8 % 2 == 0;
      if (recvtype != qcclPacked) operation.offsetElems = number % 2;
      operations.push_back(operation);
    }
  }
  return operations;
}

// Of counts that end in every way, between calls on values.
inline std::vector<Operation> packedAllReducesOfAnyCount(int algorithm) {
  std::vector<Operation> operations;
  for (const std::size_t count : {0, 1, 2, 31, 33, 255, 257, 511, 513, 4095, 4096, 4097, 8192, 16385, 65537, 300007}) {
    for (const std::size_t block : {32, 256, 1024, 4096}) {
      operations.push_back(packedOperation(qcclCollAllReduce, algorithm, {qcclCodecInt8, qcclScaleFloat32, block}, qcclPacked, count));
      operations.back().inPlace = true;
    }
    operations.push_back(packedOperation(qcclCollAllReduce, algorithm, {qcclCodecInt5, qcclScaleE8m0, 512}, qcclPacked, count));
    operations.push_back(packedOperation(qcclCollAllReduce, algorithm, {qcclCodecInt6, qcclScaleBfloat16, 64}, qcclBfloat16, count));
    operations.push_back(quantized(algorithm, qcclCodecInt8, qcclFloat32, count));
  }
  return operations;
}

inline std::vector<Operation> packedReduceScattersAndAllGathers() {
  std::vector<Operation> operations;
  for (const quant::PackedFormat& format : formatsWithBlocksInTurn()) {
    for (const qcclDataType_t recvtype : kReceivedTypes) {
      const std::size_t number = operations.size();
      const std::size_t count = number % 5 == 0 ? 1 : number % 5 == 1 ? 4096 : 9000 + number;
      for (const int algorithm : {qcclAlgoAuto, qcclAlgoRing}) {
        operations.push_back(packedOperation(qcclCollReduceScatter, algorithm, format, recvtype, count));
        operations.back().op = number % 2 == 0 ? qcclSum : qcclAvg;
        operations.back().quant.rounding = number % 4 < 2 ? qcclRoundNearest : qcclRoundStochastic;
      }
      operations.push_back(packedOperation(qcclCollAllGather, qcclAlgoAuto, format, recvtype, count));
    }
  }
  return operations;
}

}  // namespace qccl::test
