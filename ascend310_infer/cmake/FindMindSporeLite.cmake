# MindSpore Lite, unpacked at MSLITE_ROOT, LITE_HOME or MS_LITE_HOME; nowhere else.
set(_roots "${MSLITE_ROOT}" "$ENV{LITE_HOME}" "$ENV{MS_LITE_HOME}")
find_path(MindSporeLite_INCLUDE_DIR include/api/model.h PATHS ${_roots} PATH_SUFFIXES runtime . NO_DEFAULT_PATH)
find_library(MindSporeLite_LIBRARY mindspore-lite PATHS ${_roots} PATH_SUFFIXES runtime/lib lib NO_DEFAULT_PATH)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(MindSporeLite REQUIRED_VARS MindSporeLite_LIBRARY MindSporeLite_INCLUDE_DIR)
if(MindSporeLite_FOUND AND NOT TARGET MindSporeLite::MindSporeLite)
  add_library(MindSporeLite::MindSporeLite UNKNOWN IMPORTED)
  set_target_properties(MindSporeLite::MindSporeLite PROPERTIES
    IMPORTED_LOCATION "${MindSporeLite_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${MindSporeLite_INCLUDE_DIR}")
endif()
