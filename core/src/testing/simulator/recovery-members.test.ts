import { testRecovery } from "./recovery.test-support.js";

testRecovery("members");
