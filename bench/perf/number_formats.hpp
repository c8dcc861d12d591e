// Elements of every data type as doubles: rounding to the type's values, writing and reading them. The tool's own, so that it verifies the
// library without using it.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <span>

namespace qccl::bench {

// What rounding to the type costs. For integers all zero.
struct Precision {
  double unitRoundoff = 0;      // half an ulp, relative: 2^-24 for float32
  double smallestHalfStep = 0;  // half the distance of its smallest numbers
  double largest = 0;           // largest finite value
  int significandBits = 0;      // whole numbers up to 2^significandBits are exact
};

Precision precisionOf(qcclDataType_t dtype);
bool isFloating(qcclDataType_t dtype);
bool isUnsigned(qcclDataType_t dtype);

// Writes values[i] as element i, rounded to nearest even. Integers must be given whole and in range.
void encodeElements(std::span<const double> values, qcclDataType_t dtype, void* elements);

// Reads elements [first, first + values.size()). 64-bit integers above 2^53 lose low bits; the tool's own data stays below.
void decodeElements(const void* elements, std::size_t first, qcclDataType_t dtype, std::span<double> values);

}  // namespace qccl::bench
