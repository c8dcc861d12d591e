#include "core/types.hpp"

#include <cstring>
#include <span>

namespace qccl {
namespace {

struct Name {
  int value;
  const char* name;
};

constexpr Name kDataTypes[] = {{qcclInt8, "int8"},         {qcclUint8, "uint8"},           {qcclInt32, "int32"},
                               {qcclUint32, "uint32"},     {qcclInt64, "int64"},           {qcclUint64, "uint64"},
                               {qcclFloat16, "float16"},   {qcclFloat32, "float32"},       {qcclFloat64, "float64"},
                               {qcclBfloat16, "bfloat16"}, {qcclFloat8e4m3, "float8e4m3"}, {qcclFloat8e5m2, "float8e5m2"}};
constexpr std::size_t kTypeSizes[qcclNumTypes] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};
constexpr Name kRedOps[] = {{qcclSum, "sum"}, {qcclProd, "prod"}, {qcclMax, "max"}, {qcclMin, "min"}, {qcclAvg, "avg"}};
constexpr Name kCodecs[] = {{qcclCodecNone, "none"},       {qcclCodecInt8, "int8"},       {qcclCodecInt6, "int6"},
                            {qcclCodecInt5, "int5"},       {qcclCodecInt4, "int4"},       {qcclCodecFp8E4m3, "fp8e4m3"},
                            {qcclCodecFp8E5m2, "fp8e5m2"}, {qcclCodecFp4E2m1, "fp4e2m1"}, {qcclCodecBf16, "bf16"}};
constexpr Name kScales[] = {{qcclScaleFloat32, "float32"}, {qcclScaleBfloat16, "bfloat16"}, {qcclScaleE8m0, "e8m0"}};
constexpr Name kAlgos[] = {{qcclAlgoAuto, "auto"}, {qcclAlgoOneshot, "oneshot"}, {qcclAlgoTwoshot, "twoshot"}, {qcclAlgoRing, "ring"},
                           {qcclAlgoTree, "tree"}, {qcclAlgoHier, "hier"},       {qcclAlgoNccl, "nccl"}};
constexpr Name kRoundings[] = {{qcclRoundNearest, "nearest"}, {qcclRoundStochastic, "stochastic"}};
constexpr Name kColls[] = {{qcclCollAllReduce, "allreduce"}, {qcclCollReduceScatter, "reducescatter"},
                           {qcclCollAllGather, "allgather"}, {qcclCollBroadcast, "broadcast"},
                           {qcclCollReduce, "reduce"},       {qcclCollSendRecv, "sendrecv"}};

std::span<const Name> names(qcclEnum_t kind) {
  switch (kind) {
    case qcclEnumDataType:
      return kDataTypes;
    case qcclEnumRedOp:
      return kRedOps;
    case qcclEnumCodec:
      return kCodecs;
    case qcclEnumAlgo:
      return kAlgos;
    case qcclEnumRounding:
      return kRoundings;
    case qcclEnumColl:
      return kColls;
    case qcclEnumScale:
      return kScales;
  }
  return {};
}

}  // namespace

const char* enumName(qcclEnum_t kind, int value) {
  for (const Name& row : names(kind)) {
    if (row.value == value) return row.name;
  }
  return nullptr;
}

int enumValue(qcclEnum_t kind, const char* name) {
  if (name == nullptr) return -1;
  for (const Name& row : names(kind)) {
    if (std::strcmp(row.name, name) == 0) return row.value;
  }
  return -1;
}

std::string enumNames(qcclEnum_t kind) {
  std::string text;
  for (const Name& row : names(kind)) {
    if (!text.empty()) text += '|';
    text += row.name;
  }
  return text;
}

std::size_t typeSize(qcclDataType_t dtype) { return dtype >= 0 && dtype < qcclNumTypes ? kTypeSizes[dtype] : 0; }

bool isQuantizable(qcclDataType_t dtype) { return dtype == qcclFloat32 || dtype == qcclFloat16 || dtype == qcclBfloat16; }

bool isQuantizable(qcclRedOp_t op) { return op == qcclSum || op == qcclAvg; }

}  // namespace qccl
