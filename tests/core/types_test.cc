#include "core/types.hpp"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

namespace qccl {
namespace {

struct Kind {
  qcclEnum_t kind;
  int count;
};

constexpr Kind kKinds[] = {{qcclEnumDataType, qcclNumTypes}, {qcclEnumRedOp, qcclNumOps},          {qcclEnumCodec, qcclNumCodecs},
                           {qcclEnumAlgo, qcclNumAlgos},     {qcclEnumRounding, qcclNumRoundings}, {qcclEnumColl, qcclNumColls},
                           {qcclEnumScale, qcclNumScales}};

TEST(EnumNames, EveryValueHasANameOfItsOwnThatLeadsBack) {
  for (const auto& [kind, count] : kKinds) {
    std::set<std::string> names;
    for (int value = 0; value < count; ++value) {
      const char* name = enumName(kind, value);
      ASSERT_NE(name, nullptr) << "kind " << kind << ", value " << value;
      EXPECT_TRUE(names.insert(name).second) << name;
      EXPECT_EQ(enumValue(kind, name), value) << name;
    }
    std::istringstream listed(enumNames(kind));
    std::set<std::string> inList;
    for (std::string name; std::getline(listed, name, '|');) inList.insert(name);
    EXPECT_EQ(inList, names);
  }
}

TEST(EnumNames, OthersHaveNone) {
  for (const auto& [kind, count] : kKinds) {
    EXPECT_EQ(enumName(kind, count), nullptr);
    EXPECT_EQ(enumName(kind, -1), nullptr);
    for (const char* name : {"", "Float32", "int8 ", "no such"}) EXPECT_EQ(enumValue(kind, name), -1) << name;
    EXPECT_EQ(enumValue(kind, nullptr), -1);
  }
  EXPECT_EQ(enumName(static_cast<qcclEnum_t>(7), 0), nullptr);
}

TEST(TypeSize, IsThatOfTheType) {
  EXPECT_EQ(typeSize(qcclInt8), 1u);
  EXPECT_EQ(typeSize(qcclUint8), 1u);
  EXPECT_EQ(typeSize(qcclInt32), sizeof(std::int32_t));
  EXPECT_EQ(typeSize(qcclUint32), sizeof(std::uint32_t));
  EXPECT_EQ(typeSize(qcclInt64), sizeof(std::int64_t));
  EXPECT_EQ(typeSize(qcclUint64), sizeof(std::uint64_t));
  EXPECT_EQ(typeSize(qcclFloat16), 2u);
  EXPECT_EQ(typeSize(qcclFloat32), sizeof(float));
  EXPECT_EQ(typeSize(qcclFloat64), sizeof(double));
  EXPECT_EQ(typeSize(qcclBfloat16), 2u);
  EXPECT_EQ(typeSize(qcclFloat8e4m3), 1u);
  EXPECT_EQ(typeSize(qcclFloat8e5m2), 1u);
  EXPECT_EQ(typeSize(qcclNumTypes), 0u);
  EXPECT_EQ(typeSize(static_cast<qcclDataType_t>(15)), 0u);
}

TEST(Quantizable, AreThreeTypesAndTwoOperations) {
  for (int dtype = 0; dtype < qcclNumTypes; ++dtype) {
    EXPECT_EQ(isQuantizable(static_cast<qcclDataType_t>(dtype)), dtype == qcclFloat32 || dtype == qcclBfloat16 || dtype == qcclFloat16)
        << dtype;
  }
  for (int op = 0; op < qcclNumOps; ++op) EXPECT_EQ(isQuantizable(static_cast<qcclRedOp_t>(op)), op == qcclSum || op == qcclAvg) << op;
}

}  // namespace
}  // namespace qccl
