// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {NetworkParameters} from "../src/NetworkParameters.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

contract NetworkParametersTest is Fixture {
    event ParametersSet(uint64 indexed version, bytes32[] names, uint256[] values, uint64 effectiveFrom);
    event GrantApproved(bytes32 indexed grantId, bytes32 indexed beneficiaryId, uint256 amountWei);

    function soon() private view returns (uint64) {
        return uint64(block.timestamp) + NOTICE;
    }

    function set(uint64 expected, uint256 index, uint256 value) private {
        (bytes32[] memory names, uint256[] memory values) = genesis();
        values[index] = value;
        vm.prank(address(timelock));
        parameters.setParameters(expected, names, values, soon());
    }

    function test_version_0_is_the_genesis_set() public view {
        (bytes32[] memory names, uint256[] memory values) = genesis();
        for (uint256 i = 0; i < names.length; ++i) {
            vm.assertEq(parameters.valueAt(0, names[i]), values[i]);
        }
        vm.assertEq(parameters.latestVersion(), 0);
        vm.assertEq(parameters.TALENT_FEE_BPS(), 0);
    }

    function test_a_version_is_announced_and_takes_effect_on_time() public {
        (bytes32[] memory names, uint256[] memory values) = genesis();
        values[0] = 150;
        uint64 from = soon();
        vm.expectEmit();
        emit ParametersSet(1, names, values, from);
        vm.prank(address(timelock));
        parameters.setParameters(0, names, values, from);
        vm.warp(from - 1);
        vm.assertEq(parameters.valueOf("connector_reward_bps"), 100);
        vm.warp(from);
        vm.assertEq(parameters.valueOf("connector_reward_bps"), 150);
        vm.assertEq(parameters.valueAt(0, "connector_reward_bps"), 100);
        (, uint256[] memory stored, uint64 effective) = parameters.parameters(1);
        vm.assertEq(stored[0], 150);
        vm.assertEq(effective, from);
    }

    function test_of_two_changes_voted_side_by_side_one_goes_through() public {
        set(0, 0, 120);
        (bytes32[] memory names, uint256[] memory values) = genesis();
        uint64 from = soon();
        vm.prank(address(timelock));
        vm.expectRevert(abi.encodeWithSelector(NetworkParameters.WrongVersion.selector, 0, 1));
        parameters.setParameters(0, names, values, from);
    }

    function testFuzz_bounds_hold_on_the_whole_set(uint256[8] memory drawn, uint8 outside) public {
        (bytes32[] memory names, uint256[] memory values) = genesis();
        uint256[8] memory lowest = [uint256(0), 0, 0, 0, 0, 60, 0, 0];
        uint256[8] memory highest =
            [uint256(10_000), 10_000, 90 days, 36_500 days, 1_000e18, 366 days, 135_000_000e18, 1_000e18];
        // Few sets have a value anywhere at all; in half of the others the reward is made to fit the fee.
        for (uint256 i = 0; i < 8; ++i) {
            values[i] = outside == i ? drawn[i] : clamp(drawn[i], lowest[i], highest[i]);
        }
        if (outside > 128) values[0] = values[0] % (values[1] / 4 + 1);
        bool fits = values[0] <= values[1] / 4;
        for (uint256 i = 0; i < 8; ++i) {
            fits = fits && values[i] >= lowest[i] && values[i] <= highest[i];
        }
        uint64 from = soon();
        vm.prank(address(timelock));
        try parameters.setParameters(0, names, values, from) {
            vm.assertTrue(fits, "accepted outside the bounds");
        } catch {
            vm.assertFalse(fits);
            vm.assertEq(parameters.latestVersion(), 0);
        }
    }

    function test_the_reward_is_at_most_a_quarter_of_the_fee() public {
        set(0, 0, 250);
        (bytes32[] memory names, uint256[] memory values) = genesis();
        values[0] = 251;
        uint64 from = soon();
        vm.prank(address(timelock));
        vm.expectRevert(
            abi.encodeWithSelector(NetworkParameters.RewardAboveQuarterOfFee.selector, 251, 1_000)
        );
        parameters.setParameters(1, names, values, from);
    }

    function test_rates_are_at_most_the_whole() public {
        (bytes32[] memory names, uint256[] memory values) = genesis();
        values[1] = 10_001;
        uint64 from = soon();
        vm.prank(address(timelock));
        vm.expectRevert(
            abi.encodeWithSelector(NetworkParameters.OutOfBounds.selector, names[1], 10_001, 0, 10_000)
        );
        parameters.setParameters(0, names, values, from);
    }

    function test_a_set_is_whole_and_known() public {
        (bytes32[] memory names, uint256[] memory values) = genesis();
        uint64 from = soon();
        names[7] = names[0];
        vm.prank(address(timelock));
        vm.expectRevert(abi.encodeWithSelector(NetworkParameters.RepeatedName.selector, names[0]));
        parameters.setParameters(0, names, values, from);
        names[7] = "talent_fee_bps";
        vm.prank(address(timelock));
        vm.expectRevert(abi.encodeWithSelector(NetworkParameters.UnknownName.selector, names[7]));
        parameters.setParameters(0, names, values, from);
        vm.prank(address(timelock));
        vm.expectRevert(abi.encodeWithSelector(NetworkParameters.WrongLength.selector, 0, 8));
        parameters.setParameters(0, new bytes32[](0), values, from);
    }

    function testFuzz_notice_is_kept(uint64 from) public {
        (bytes32[] memory names, uint256[] memory values) = genesis();
        if (from % 2 == 0) from = uint64(block.timestamp + from % 100 days);
        bool fits = from >= soon() && from <= block.timestamp + 90 days;
        vm.prank(address(timelock));
        if (!fits) vm.expectPartialRevert(NetworkParameters.BadEffectiveFrom.selector);
        parameters.setParameters(0, names, values, from);
        vm.assertEq(parameters.latestVersion(), fits ? 1 : 0);
    }

    function test_a_version_cannot_take_effect_before_the_one_before_it() public {
        (bytes32[] memory names, uint256[] memory values) = genesis();
        uint64 later = soon() + 1 days;
        vm.prank(address(timelock));
        parameters.setParameters(0, names, values, later);
        vm.prank(address(timelock));
        vm.expectPartialRevert(NetworkParameters.BadEffectiveFrom.selector);
        parameters.setParameters(1, names, values, later - 1);
        vm.prank(address(timelock));
        parameters.setParameters(1, names, values, later);
        vm.warp(later);
        vm.assertEq(parameters.currentVersion(), 2);
    }

    function testFuzz_only_the_timelock(address caller) public {
        if (caller == address(timelock)) caller = address(1);
        (bytes32[] memory names, uint256[] memory values) = genesis();
        bytes memory refusal = abi.encodeWithSelector(NetworkParameters.NotTimelock.selector, caller);
        uint64 from = soon();
        vm.prank(caller);
        vm.expectRevert(refusal);
        parameters.setParameters(0, names, values, from);
        vm.prank(caller);
        vm.expectRevert(refusal);
        parameters.approveGrant("grant", "member", 1);
    }

    function test_a_grant_is_approved_once() public {
        vm.expectEmit();
        emit GrantApproved("grant", "member", 5e18);
        vm.prank(address(timelock));
        parameters.approveGrant("grant", "member", 5e18);
        vm.assertTrue(parameters.grantApproved("grant"));
        vm.prank(address(timelock));
        vm.expectRevert(
            abi.encodeWithSelector(NetworkParameters.GrantAlreadyApproved.selector, bytes32("grant"))
        );
        parameters.approveGrant("grant", "member", 5e18);
    }

    function test_a_grant_has_an_amount_within_bounds() public {
        uint256[2] memory bad = [uint256(0), 10_000_000e18 + 1];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(address(timelock));
            vm.expectRevert(abi.encodeWithSelector(NetworkParameters.BadGrant.selector, bytes32("g"), bad[i]));
            parameters.approveGrant("g", "member", bad[i]);
        }
    }

    function test_a_version_not_made_yet_has_no_values() public {
        vm.expectRevert(abi.encodeWithSelector(NetworkParameters.UnknownVersion.selector, 1));
        parameters.valueAt(1, "client_fee_bps");
        vm.expectRevert(abi.encodeWithSelector(NetworkParameters.UnknownName.selector, bytes32("nothing")));
        parameters.valueOf("nothing");
        vm.expectRevert(abi.encodeWithSelector(NetworkParameters.UnknownName.selector, bytes32("nothing")));
        parameters.boundsOf("nothing");
        vm.expectRevert(abi.encodeWithSelector(NetworkParameters.UnknownVersion.selector, 1));
        parameters.parameters(1);
    }

    function test_it_cannot_be_deployed_without_an_owner_or_with_endless_notice() public {
        (bytes32[] memory names, uint256[] memory values) = genesis();
        vm.expectRevert(NetworkParameters.ZeroAddress.selector);
        new NetworkParameters(address(0), NOTICE, names, values);
        uint64 most = uint64(parameters.MAX_NOTICE_SECONDS());
        vm.expectPartialRevert(NetworkParameters.BadEffectiveFrom.selector);
        new NetworkParameters(address(timelock), most + 1, names, values);
    }
}
