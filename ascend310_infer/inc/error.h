// The error a user can mend: one sentence that names the file or flag. main() turns it into exit code 2.
#pragma once
#include <stdexcept>
#include <string>

namespace seg {

class UserError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace seg
