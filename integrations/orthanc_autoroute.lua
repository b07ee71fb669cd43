-- Orthanc: {"LuaScripts": ["orthanc_autoroute.lua"]}. Every study that is complete is sent for
-- analysis; the service pulls it by WADO-RS and stores the results by STOW-RS, so it needs
-- WSCXR_PACS_URL and so on. Its own results make the study complete once more: the service finds
-- that nothing is left to do.
local url = os.getenv('WSCXR_URL') or 'http://127.0.0.1:8000'
local key = os.getenv('WSCXR_API_KEY')

function OnStableStudy(studyId, tags, metadata)
  local headers = {}
  if key then headers['X-API-Key'] = key end
  -- Answers at once with a job: Orthanc waits for nothing.
  HttpPost(url .. '/v1/studies/' .. tags['StudyInstanceUID'] .. '/analyze', '', headers)
end
