// Just enough of SVG for a drawing of boxes and words.
#pragma once

#include <string>
#include <string_view>

namespace qccl::train {

// Text as it may stand in XML.
std::string escapeXml(std::string_view text);

class Svg {
 public:
  enum class Anchor { kStart, kMiddle, kEnd };
  struct TextStyle {
    Anchor anchor = Anchor::kStart;
    double size = 13;
    bool bold = false;
    const char* fill = "#0f172a";
  };

  // `tip` is shown by programs that do so when the pointer is over the box; empty: none.
  void box(double x, double y, double width, double height, const char* fill, const std::string& tip = "");
  void line(double x1, double y1, double x2, double y2, const char* stroke);
  // y is that of the letters' base.
  void text(double x, double y, std::string_view words, const TextStyle& style);

  // The whole file, on white: it is read on light and dark pages alike.
  std::string file(double width, double height) const;

 private:
  std::string body_;
};

}  // namespace qccl::train
