// Names, sizes and classes of the public enums: one table each.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <string>

namespace qccl {

// nullptr for an unknown value; -1 for an unknown name.
const char* enumName(qcclEnum_t kind, int value);
int enumValue(qcclEnum_t kind, const char* name);

// "none|int8": the names of an enum, for messages and for the table of settings.
std::string enumNames(qcclEnum_t kind);

std::size_t typeSize(qcclDataType_t dtype);  // 0 for an unknown type

// Types and operations that the codecs other than none are defined for.
bool isQuantizable(qcclDataType_t dtype);
bool isQuantizable(qcclRedOp_t op);

}  // namespace qccl
