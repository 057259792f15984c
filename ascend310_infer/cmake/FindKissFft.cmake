# kissfft's C++ template, a header alone; Debian's CMake file knows the C library in single precision only.
find_path(KissFft_INCLUDE_DIR kissfft/kissfft.hh)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(KissFft REQUIRED_VARS KissFft_INCLUDE_DIR)
if(KissFft_FOUND AND NOT TARGET KissFft::KissFft)
  add_library(KissFft::KissFft INTERFACE IMPORTED)
  set_target_properties(KissFft::KissFft PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${KissFft_INCLUDE_DIR}")
endif()
